//! Options and manual of `trace-stats`.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec};
use crate::report::Format;

/// Values of the options.
#[derive(Default)]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// How the report is written.
    pub format: Format,
    /// Percentiles in the report, in percent; those of the format if empty.
    pub percentiles: Vec<f64>,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-stats",
    about: "statistics of a request trace: lengths, prefix reuse, hit rates",
    description: &[Block::Text(
        "Reads a trace of requests to a language model server, one JSON object per line, and writes \
         how much of its prompts is reusable: what a prefix cache (KV cache) without limits would \
         serve.\n\n\
         A record has input_length and, where known, output_length (tokens), timestamp \
         (milliseconds) and hash_ids, one id per prefix block: equal ids are equal blocks after equal \
         prefixes. input_tokens, output_tokens and created_time are accepted as synonyms; other fields \
         are ignored. Ids may be any unsigned 64-bit numbers. \
         Several FILEs are read in order as one trace; gzip and zstd are recognised by their first \
         bytes. The input is read once, line by line.\n\n\
         The first bad record ends the run with its file and line, unless \
         --skip-invalid is given. SIGINT and SIGTERM end the input: the report of what has been read \
         is still written.",
    )],
    options: &[
        Opt {
            long: "format",
            short: Some('f'),
            arg: Arg::Choice(&["table", "json"]),
            help: "how the report is written (default table)",
            doc: "Write the report as a table for people or as one JSON object. Names in the JSON \
                  object do not change between versions.",
            set: |options, value| {
                options.format = value.pick(&[("table", Format::Table), ("json", Format::Json)])?;
                Ok(())
            },
        },
        Opt {
            long: "percentiles",
            short: Some('p'),
            arg: Arg::Value("LIST"),
            help: "percentiles to report, as 25,50,99.9",
            doc: "Report these percentiles, each between 0 and 100. The default is 25,50,75 in the \
                  table and 25,50,75,90,95,99 in JSON. They are interpolated linearly between the \
                  closest ranks. The 50th is called median.",
            set: |options, value| {
                options.percentiles = value.list(|item| {
                    let p = item.number()?;
                    let valid = (0.0..=100.0).contains(&p);
                    valid.then_some(p).ok_or(format!("{p} is not between 0 and 100"))
                })?;
                Ok(())
            },
        },
        Opt {
            long: "block-size",
            short: Some('b'),
            arg: Arg::Value("N"),
            help: "tokens per block (default 512, or as the trace states)",
            doc: "Tokens per block. The default is what the records state in block_size, else 512. A \
                  record that states another size is an error.",
            set: |options, value| {
                options.block_size = Some(value.positive()?);
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section {
            title: "FIGURES",
            body: &[
                Block::Text(
                    "B is the block size; a request has the length L and the ids h1 ... hn, with n = \
                     L / B rounded up.",
                ),
                Block::Item("Input Length (input_length)", "L, the tokens of the prompt."),
                Block::Item(
                    "Context Length (context_length)",
                    "L if every h occurs more than once in the whole trace, else B times the number \
                     of its h that do. Later requests count too: this is what is shared with anyone.",
                ),
                Block::Item("Unique Prompt Length (unique_prompt_length)", "L less the context length."),
                Block::Item("Output Length (output_length)", "The tokens generated, as recorded."),
                Block::Item(
                    "Theoretical Hit Rates (hit_rate)",
                    "k / n, where h1 ... hk are the longest prefix of blocks that all occurred in \
                     earlier requests. Requests without blocks are left out.",
                ),
                Block::Item(
                    "Cached tokens (cached_length, cached_tokens)",
                    "The smaller of k times B and L: what an infinite cache would have served when \
                     the request arrived.",
                ),
                Block::Item(
                    "token_hit_rate",
                    "Sum of cached lengths over sum of L: the share of prefill work that an infinite \
                     cache saves. This is not the mean of hit_rate, in which a short prompt counts as \
                     much as a long one.",
                ),
                Block::Item("block_hit_rate", "Sum of k over sum of n."),
                Block::Item(
                    "Blocks, Unique blocks, Shared blocks",
                    "Ids in all; distinct ones; distinct ones that occur more than once.",
                ),
                Block::Item("Prefix groups", "First blocks with which two or more requests start."),
                Block::Item(
                    "Duration, Request rate, Inter-arrival (arrivals)",
                    "Last less first timestamp; requests over duration; most requests in one second \
                     of trace time; mean gap between consecutive requests, and standard deviation of \
                     the gaps over their mean. A record stamped earlier than one before it (late) \
                     counts at the time of that one.",
                ),
                Block::Text(
                    "Standard deviations are those of the population. Counts, sums, means and \
                     extremes are exact. Percentiles of lengths are exact below 262,144 tokens and \
                     have five digits above; those of hit rates are exact for up to a million \
                     distinct values of k / n.\n\n\
                     Records without hash_ids count in input and output length only, and a warning \
                     gives their number.",
                ),
            ],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "About 4 MiB, and for each request 3 to 5 bytes, and for each distinct block one bit. \
                 That holds where ids are numbered 0, 1, 2, ... in the order of first appearance, or at least \
                 rise at each new block (a piece of such a trace). Other ids, such as hashes, take 18 \
                 to 23 bytes more for each distinct block. At most 4,294,967,295 distinct blocks can \
                 be told apart.",
            )],
        },
        Section {
            title: "EXAMPLES",
            body: &[
                Block::Example {
                    what: "The statistics of one's own prompts",
                    command: "trace-hash prompts.jsonl | trace-stats",
                },
                Block::Example {
                    what: "The share of prompt tokens that an infinite cache serves",
                    command: "trace-hash prompts.jsonl | trace-stats --format json | jq .token_hit_rate",
                },
                Block::Example {
                    what: "The long tail of a compressed trace with blocks of 16 tokens",
                    command: "trace-hash -b 16 prompts.jsonl | gzip | trace-stats -b 16 -p 50,90,99,99.9",
                },
            ],
        },
        Section { title: "SEE ALSO", body: &[Block::Text("trace-hash(1), trace-cat(1), jq(1)")] },
    ],
};
