//! Options and manual of `trace-cat`.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec};
use crate::cat::IdsScope;

/// Values of the options.
#[derive(Default)]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// Whether equal ids in different files are the same block.
    pub ids_scope: IdsScope,
    /// Whether ids are made dense.
    pub renumber: bool,
    /// Whether to validate only.
    pub check: bool,
}

impl HasCommon for Options {
    fn common(&mut self) -> &mut Common {
        &mut self.common
    }
}

/// The command line.
pub static SPEC: Spec<Options> = Spec {
    name: "trace-cat",
    about: "join, validate and renumber request traces",
    description: &[Block::Text(
        "Writes the records of all FILEs in order as one valid trace. Every record is checked: \
         input_length must be there, values must have their types, and hash_ids must hold one id per \
         block, the last one perhaps partial. gzip and zstd input is recognised by its first bytes \
         and written plain; blank lines, carriage returns and byte-order marks are dropped. All else \
         stays as it was, byte for byte, unknown fields included.\n\n\
         Files that were numbered separately use the same ids for different blocks. --ids-scope says \
         whether that is so; by default it is found out.",
    )],
    options: &[
        Opt {
            long: "ids-scope",
            short: None,
            arg: Arg::Choice(&["auto", "file", "shared"]),
            help: "whether ids of different FILEs mean the same (default auto)",
            doc: "With file, every FILE has ids of its own: ids of different FILEs are kept apart, and \
                  all are renumbered densely. With shared, equal ids are equal blocks, as in the pieces \
                  of one trace. The default, auto, takes a FILE after the first as separately numbered \
                  when its first record numbers its blocks 0, 1, 2, ... from zero, and says on standard \
                  error what it decided; a FILE that does not continues the FILE before it. \
                  Use shared for pieces of a trace whose requests may be single blocks: a piece that \
                  begins with the ids [0] looks like a trace of its own.",
            set: |options, value| {
                options.ids_scope = value.pick(&[
                    ("auto", IdsScope::Auto),
                    ("file", IdsScope::File),
                    ("shared", IdsScope::Shared),
                ])?;
                Ok(())
            },
        },
        Opt {
            long: "renumber",
            short: None,
            arg: Arg::None,
            help: "number blocks 0, 1, 2, ... in the order of first appearance",
            doc: "Replace ids by 0, 1, 2, ... in the order of first appearance, also where they need \
                  not be changed. Later filters then need the least memory.",
            set: |options, _| {
                options.renumber = true;
                Ok(())
            },
        },
        Opt {
            long: "check",
            short: None,
            arg: Arg::None,
            help: "only validate, and write a JSON summary of what is wrong",
            doc: "Write no records but one JSON object: the number of records and, for each kind of \
                  problem, how often it occurs and where first. The exit status is 1 if the input is \
                  no valid trace. See CHECKS.",
            set: |options, _| {
                options.check = true;
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
                options.block_size = Some(value.block_size()?);
                Ok(())
            },
        },
    ],
    common: CommonOptions::<Options>::TABLE,
    sections: &[
        Section {
            title: "CHECKS",
            body: &[
                Block::Text("These make a trace invalid; they are listed under errors:"),
                Block::Item("malformed", "A line that is not a JSON object in UTF-8."),
                Block::Item("missing_field", "A record without input_length."),
                Block::Item("bad_value", "A known field of the wrong type or out of range."),
                Block::Item("length_mismatch", "Too many or too few ids for the length."),
                Block::Item("block_size_mismatch", "Records that state different block sizes."),
                Block::Item("two_parents", "An id that follows different ids in different requests."),
                Block::Item(
                    "two_token_counts",
                    "An id that is a partial block in one request and a longer one in another.",
                ),
                Block::Item("repeated_in_request", "An id that stands twice in one request."),
                Block::Text("These are worth knowing; they are listed under notes:"),
                Block::Item("time_backwards", "A timestamp smaller than the one before it."),
                Block::Item(
                    "not_dense",
                    "Ids that are not numbered 0, 1, 2, ... in the order of first appearance.",
                ),
                Block::Item(
                    "no_timestamp, no_output_length, no_hash_ids",
                    "Records that lack an optional field.",
                ),
                Block::Text("With --check all FILEs are one trace, as with --ids-scope=shared."),
            ],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "Constant. Renumbering takes memory only for ids that are not already dense: 18 to 23 \
                 bytes for each distinct block of a file, or 16 bytes for each gap in a numbering that \
                 rises. --check takes 8 bytes for each distinct block beside that.",
            )],
        },
        Section {
            title: "EXAMPLES",
            body: &[
                Block::Example {
                    what: "Join two separately hashed sets of prompts, the first one compressed",
                    command: "trace-hash prompts.jsonl | gzip > a.jsonl.gz\n\
                              trace-hash prompts.jsonl > b.jsonl\n\
                              trace-cat a.jsonl.gz b.jsonl | trace-stats",
                },
                Block::Example {
                    what: "Is this a valid trace?",
                    command: "trace-hash prompts.jsonl | trace-cat --check",
                },
                Block::Example {
                    what: "Keep what is valid of a damaged file",
                    command: "(trace-hash prompts.jsonl; echo '{\"input_le') | trace-cat --skip-invalid > good.jsonl",
                },
            ],
        },
        Section { title: "SEE ALSO", body: &[Block::Text("trace-hash(1), trace-stats(1), jq(1), sort(1)")] },
    ],
};
