//! Options and manual of `trace-stats`.

use super::{Arg, Block, Common, CommonOptions, HasCommon, Opt, Section, Spec, Value};
use crate::blocks::BlockNumber;
use crate::record::kv_size::kv_bytes_per_token;
use crate::report::Format;
use crate::stats::{HitRule, Piece, Policy, WindowSize};

/// Values of the options.
#[derive(Default)]
pub struct Options {
    /// Options of all filters.
    pub common: Common,
    /// Tokens per block, if the user says.
    pub block_size: Option<u64>,
    /// How the report is written.
    pub format: Option<Format>,
    /// Percentiles in the report, in percent; those of the format if empty.
    pub percentiles: Vec<f64>,
    /// Which cached blocks count as hits.
    pub hit_rule: HitRule,
    /// Policies of finite caches; LRU if empty.
    pub policies: Vec<Policy>,
    /// Capacities of finite caches.
    pub capacities: Vec<Capacity>,
    /// Whether to report the curve over all capacities.
    pub curve: bool,
    /// Draw charts with characters below the table; with which ones.
    pub plot: Option<Letters>,
    /// Shares of the infinite cache's hits to find a cache for.
    pub targets: Vec<f64>,
    /// Times to live, in milliseconds.
    pub ttls: Vec<u64>,
    /// Requests that fill the caches first.
    pub warmup: Warmup,
    /// Bytes of KV cache per token, if the user says.
    pub kv_bytes_per_token: Option<u64>,
    /// The same from the configuration of a model.
    pub model_kv_bytes: Option<u64>,
    /// Report also on each value of this field.
    pub by: Option<String>,
    /// Blocks of a sample to estimate from.
    pub approx: Option<usize>,
    /// Shared prefixes to report.
    pub top: usize,
    /// Bytes of memory to stay below.
    pub max_memory: Option<u64>,
    /// Report on windows of this size.
    pub window: Option<WindowSize>,
    /// Report every so many requests.
    pub every: Option<u64>,
    /// Whether to write the state of a piece in place of a report.
    pub partial: bool,
    /// Place of the piece in its trace.
    pub piece: Option<Piece>,
    /// Whether to read pieces.
    pub merge: bool,
}

/// A capacity as the user gives it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capacity {
    /// In blocks.
    Blocks(u64),
    /// In bytes of KV cache.
    Bytes(u64),
}

/// What charts in a terminal are drawn with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Letters {
    /// As the locale says.
    #[default]
    Auto,
    /// Plain ASCII.
    Ascii,
    /// Block characters.
    Unicode,
}

/// How many requests fill the caches before the measure begins.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Warmup {
    /// This many.
    Requests(u64),
    /// This share of all, rounded down.
    Fraction(f64),
}

impl Default for Warmup {
    fn default() -> Self {
        Self::Requests(0)
    }
}

fn capacity(value: &Value) -> Result<Capacity, String> {
    let in_bytes = value.text()?.ends_with('B');
    let number = value.positive_size()?;
    if in_bytes {
        return Ok(Capacity::Bytes(number));
    }
    if number > u64::from(BlockNumber::MAX) {
        let text = value.text()?;
        return Err(format!(
            "{text} is more blocks than there can be; bytes have a B at the end, as in {text}B"
        ));
    }
    Ok(Capacity::Blocks(number))
}

/// A share of hits for which there is a smallest cache.
fn share(value: &Value) -> Result<f64, String> {
    let share = value.share()?;
    if share == 0.0 {
        return Err(format!("'{}': no cache at all serves nothing; expected more", value.text()?));
    }
    Ok(share)
}

/// `60s` or `5m`: a span of trace time; `10000` or `10k`: a number of requests.
fn window(value: &Value) -> Result<WindowSize, String> {
    if value.text()?.ends_with(['s', 'm', 'h', 'd']) {
        let length = value.duration_ms()?;
        let none = || "a window of no time; expected such as 60s".to_owned();
        return (length > 0).then_some(WindowSize::Time(length)).ok_or_else(none);
    }
    value.positive().map(WindowSize::Requests)
}

/// `3/100`: the third of a hundred pieces.
fn piece(value: &Value) -> Result<Piece, String> {
    let text = value.text()?;
    let pair = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    pair.filter(|&(i, n)| 0 < i && i <= n).ok_or(format!("'{text}' is not a piece; expected such as 3/100"))
}

fn warmup(value: &Value) -> Result<Warmup, String> {
    let number = value.number().unwrap_or(1.0);
    if value.text()?.contains('.') && (0.0..1.0).contains(&number) {
        return Ok(Warmup::Fraction(number));
    }
    value.count().map(Warmup::Requests)
}

impl Options {
    /// How the report is written.
    pub fn format(&self) -> Format {
        self.format.unwrap_or_default()
    }

    /// Bytes of KV cache per token, if they are known.
    pub fn kv_bytes_per_token(&self) -> Option<u64> {
        self.kv_bytes_per_token.or(self.model_kv_bytes)
    }

    /// Whether charts are drawn.
    pub fn has_charts(&self) -> bool {
        self.plot.is_some() || matches!(self.format(), Format::Html | Format::Svg)
    }

    /// Whether the curve is drawn. Merged pieces have none.
    pub fn has_picture(&self) -> bool {
        self.has_charts() && !self.merge
    }

    /// Refuses options that contradict each other, or have no effect together.
    ///
    /// # Errors
    /// Which ones do.
    pub fn check(&self) -> Result<(), String> {
        let caches = self.curve
            || !self.policies.is_empty()
            || !(self.capacities.is_empty() && self.targets.is_empty() && self.ttls.is_empty());
        let in_bytes = self.capacities.iter().any(|capacity| matches!(capacity, Capacity::Bytes(_)));
        let curve = self.curve || self.has_picture();
        let page = matches!(self.format(), Format::Html | Format::Svg);
        let message = if self.partial && self.merge {
            "--partial writes pieces and --merge reads them: give one of the two"
        } else if self.piece.is_some() && !self.partial {
            "--piece goes with --partial"
        } else if self.partial
            && (self.format.is_some() || !self.percentiles.is_empty() || self.hit_rule != HitRule::default())
        {
            "--partial writes no report: give --format, --percentiles and --hits to --merge"
        } else if self.merge && self.block_size.is_some() {
            "--merge has the block size of the pieces: it goes without --block-size"
        } else if self.merge && self.common.skip_invalid {
            "--merge would be wrong without a line of a piece: it goes without --skip-invalid"
        } else if self.kv_bytes_per_token.is_some() && self.model_kv_bytes.is_some() {
            "--kv-bytes-per-token and --model-config say the same: give one of the two"
        } else if self.kv_bytes_per_token().is_some() && !(caches || self.has_picture()) {
            "--kv-bytes-per-token and --model-config size the caches of --capacity, --curve and --target: name one"
        } else if self.warmup != Warmup::default() && !(caches || self.has_picture()) {
            "--warmup is for the caches of --capacity, --curve, --target and --ttl: name one"
        } else if caches && (self.partial || self.merge) {
            "finite caches need the whole trace in one run: they go neither with --partial nor with --merge"
        } else if (self.window.is_some() || self.every.is_some()) && (self.partial || self.merge) {
            "--window and --every go neither with --partial nor with --merge"
        } else if self.by.is_some()
            && (self.partial
                || self.merge
                || self.window.is_some()
                || self.every.is_some()
                || matches!(self.format(), Format::Csv | Format::Prometheus))
        {
            "--by goes with one report as table, markdown, json or html, in one run"
        } else if self.window.is_some() && !(self.targets.is_empty() && self.ttls.is_empty()) {
            "--target and --ttl go with a report or --every: lines of --window have --capacity and --curve only"
        } else if self.has_charts() && (self.partial || self.window.is_some()) {
            "charts are drawn of a whole report: they go neither with --partial nor with --window"
        } else if page && self.every.is_some() {
            "--format=html and svg are one file: they do not go with --every"
        } else if self.format() == Format::Svg && (self.merge || self.by.is_some()) {
            "--format=svg is the one curve of one run: it goes neither with --merge nor with --by"
        } else if self.plot.is_some() && self.format() != Format::Table {
            "--plot goes with --format=table; --format=html has charts of its own"
        } else if self.window.is_some() && self.every.is_some() {
            "--window writes lines and --every reports: give one of the two"
        } else if self.window.is_some() && !matches!(self.format, None | Some(Format::Json | Format::Csv)) {
            "--window writes JSON lines, or rows with --format=csv"
        } else if self.policies.iter().any(|p| matches!(p, Policy::Fifo | Policy::Lfu))
            && self.capacities.is_empty()
            && !curve
        {
            "--policy fifo and lfu are simulated at chosen sizes: name them with --capacity, or give --curve"
        } else if !self.policies.is_empty() && self.capacities.is_empty() && !curve {
            "--policy goes with --capacity or --curve"
        } else if self.policies.contains(&Policy::Opt) && (self.window.is_some() || self.every.is_some()) {
            "--policy opt looks back from the end of the input: it goes neither with --window nor with --every"
        } else if self.top > 0 && (self.window.is_some() || self.partial || self.merge) {
            "--top goes neither with --window nor with --partial and --merge"
        } else if self.approx.is_some()
            && (self.window.is_some()
                || self.partial
                || self.merge
                || self.top > 0
                || !self.ttls.is_empty()
                || self.policies.iter().any(|&policy| policy != Policy::Lru))
        {
            "--approx estimates LRU and infinite caches, in one report or with --every"
        } else if in_bytes && self.kv_bytes_per_token().is_none() {
            "a --capacity in bytes needs --kv-bytes-per-token or --model-config"
        } else {
            return Ok(());
        };
        Err(message.into())
    }
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
            arg: Arg::Choice(&["table", "json", "csv", "markdown", "prometheus", "html", "svg"]),
            help: "how the report is written (default table)",
            doc: "Write the report as a table for people; as one JSON object; as CSV, one figure per \
                  row; as Markdown tables; as gauges for the textfile collector of Prometheus' \
                  node_exporter (with --output, since the file is replaced at once), with times in seconds; as \
                  one HTML page with tables and charts; or as an SVG picture of the curve alone. Names \
                  do not change between versions. See CHARTS.",
            set: |options, value| {
                let format = value.pick(&[
                    ("table", Format::Table),
                    ("json", Format::Json),
                    ("csv", Format::Csv),
                    ("markdown", Format::Markdown),
                    ("prometheus", Format::Prometheus),
                    ("html", Format::Html),
                    ("svg", Format::Svg),
                ])?;
                options.format = Some(format);
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
                options.percentiles = value.distinct(|item| {
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
                options.block_size = Some(value.block_size()?);
                Ok(())
            },
        },
        Opt {
            long: "capacity",
            short: Some('c'),
            arg: Arg::Value("LIST"),
            help: "hit rates of LRU caches of these sizes, as 1k,20k,64GiB",
            doc: "Report the hit rate of an LRU cache of each of these sizes: a number of blocks, or with \
                  a B at the end a number of bytes of KV cache, for which --kv-bytes-per-token or \
                  --model-config must say how large a token is.",
            set: |options, value| {
                options.capacities = value.list(capacity)?;
                Ok(())
            },
        },
        Opt {
            long: "policy",
            short: None,
            arg: Arg::List("LIST", &["lru", "fifo", "lfu", "opt"]),
            help: "which blocks leave a full cache, as lru,fifo,opt (default lru)",
            doc: "Report the caches of --capacity and --curve under each of these policies. With lru the block                   leaves that was used least recently, with fifo the one that entered first, with lfu the                   one used least often since it entered. With opt it is the one that is used again last: no                   policy can serve more blocks, so the distance to opt is what a better policy could gain.                   See POLICIES.",
            set: |options, value| {
                options.policies = value.distinct(|item| {
                    item.pick(&[Policy::Lru, Policy::Fifo, Policy::Lfu, Policy::Opt].map(|p| (p.name(), p)))
                })?;
                Ok(())
            },
        },
        Opt {
            long: "curve",
            short: None,
            arg: Arg::None,
            help: "hit rates of LRU caches of about 60 sizes",
            doc: "Report the hit rate of LRU caches of about 60 sizes from one block to the working set; of the other \
                  policies of --policy too, fifo and lfu at powers of two and at the working set.",
            set: |options, _| {
                options.curve = true;
                Ok(())
            },
        },
        Opt {
            long: "plot",
            short: None,
            arg: Arg::Maybe(&["auto", "ascii", "unicode"]),
            help: "draw the curve and the distributions below the table",
            doc: "Draw the curve and the distributions of the lengths with characters below the table, as wide as the \
                  terminal, or as COLUMNS says, or 80 columns. With ascii plain characters are used, with \
                  unicode block characters; auto, the default, is unicode unless LC_ALL, LC_CTYPE or LANG \
                  names a locale that is not UTF-8. See CHARTS.",
            set: |options, value| {
                let letters =
                    [("auto", Letters::Auto), ("ascii", Letters::Ascii), ("unicode", Letters::Unicode)];
                let default = *value == Value::default();
                options.plot = Some(if default { Letters::Auto } else { value.pick(&letters)? });
                Ok(())
            },
        },
        Opt {
            long: "target",
            short: None,
            arg: Arg::Value("LIST"),
            help: "smallest LRU caches with these shares of all hits, as 90%",
            doc: "Report the smallest LRU cache that serves each of these shares (such as 90% or 0.9) of \
                  the tokens that an infinite cache serves.",
            set: |options, value| {
                options.targets = value.distinct(share)?;
                Ok(())
            },
        },
        Opt {
            long: "ttl",
            short: None,
            arg: Arg::Value("LIST"),
            help: "hit rates of caches whose blocks expire, as 5m,1h",
            doc: "Report the hit rate of caches without a limit of size, whose blocks expire this long after \
                  their last use, as hosted prompt caches sell it. A trace without any timestamp is refused.",
            set: |options, value| {
                options.ttls = value.distinct(Value::duration_ms)?;
                Ok(())
            },
        },
        Opt {
            long: "warmup",
            short: None,
            arg: Arg::Value("N"),
            help: "requests that only fill the finite caches, as 1000 or 0.5",
            doc: "Let the first N requests fill the finite caches without being measured. A fraction such as \
                  0.5 means that share of all requests, rounded down; the FILEs are then read once more \
                  to count them, so that standard input cannot be used. The figures of the infinite cache above \
                  the table of capacities are not affected.",
            set: |options, value| {
                options.warmup = warmup(value)?;
                Ok(())
            },
        },
        Opt {
            long: "hits",
            short: None,
            arg: Arg::Choice(&["reference", "engine"]),
            help: "which cached blocks count as hits (default reference)",
            doc: "With reference, every cached block counts. With engine, hits are counted as serving engines do: \
                  only full blocks are reused, and at least one token of a prompt is always computed. \
                  That is the figure to compare with vLLM's prefix cache hit rate \
                  (vllm:prefix_cache_hits over vllm:prefix_cache_queries, both in tokens); give the \
                  engine's own block size to trace-hash then.",
            set: |options, value| {
                options.hit_rule =
                    value.pick(&[("reference", HitRule::Reference), ("engine", HitRule::Engine)])?;
                Ok(())
            },
        },
        Opt {
            long: "kv-bytes-per-token",
            short: None,
            arg: Arg::Value("N"),
            help: "size of a token in the KV cache, in bytes",
            doc: "Bytes of KV cache that a token takes: 2 x layers x KV heads x head size x bytes per number. \
                  Sizes are then also given in GiB.",
            set: |options, value| {
                options.kv_bytes_per_token = Some(value.positive()?);
                Ok(())
            },
        },
        Opt {
            long: "by",
            short: None,
            arg: Arg::Value("FIELD"),
            help: "report also on each value of a field, such as type",
            doc: "Report on all requests, and then on those of each value of FIELD, each group as if it were a \
                  trace of its own with caches of its own: what trace-stats reports on the records that jq \
                  'select(.FIELD == ...)' lets through. The first 100 values have a group each, the requests of \
                  further ones are one group (other), and so are, as value (none), records without FIELD. Formats: \
                  table, markdown, json and html.",
            set: |options, value| {
                options.by = Some(value.text()?.to_owned());
                Ok(())
            },
        },
        Opt {
            long: "top",
            short: None,
            arg: Arg::Value("N"),
            help: "the N shared prefixes that save most",
            doc: "Report the N shared prefixes that are worth most: the id of the last block, the length in blocks \
                  and tokens, how many requests begin with it, the tokens that it saves, the first and the last \
                  line (over all FILEs) that use it, and the longest pause between two uses in trace time. A \
                  prefix ends where requests part ways. No token is counted twice: the blocks that a \
                  longer prefix has in common with a shorter one count for the shorter. Not with --window. \
                  See MEMORY.",
            set: |options, value| {
                options.top = usize::try_from(value.positive()?).unwrap_or(usize::MAX);
                Ok(())
            },
        },
        Opt {
            long: "approx",
            short: None,
            arg: Arg::Value("N"),
            help: "estimate hits from a sample of N blocks",
            doc: "Estimate hits, and the caches of --capacity, --curve and --target, from a sample of at most N \
                  blocks, at least 100. Memory then depends on N alone: about 100 bytes for each. The figures are \
                  marked as estimates and have their standard errors. Figures of lengths and arrivals stay \
                  exact; those that need every block (context length, unique prompt length, hit rate per \
                  request) are left out. \
                  Which blocks are in the sample is decided by a fixed function of their ids, so that all \
                  runs agree; someone who chooses ids can mislead it. See ESTIMATES.",
            set: |options, value| {
                let size = value.count()?;
                if size < 100 {
                    return Err(format!("a sample of {size} blocks is too small; expected 100 or more"));
                }
                options.approx = Some(usize::try_from(size).unwrap_or(usize::MAX));
                Ok(())
            },
        },
        Opt {
            long: "max-memory",
            short: None,
            arg: Arg::Value("SIZE"),
            help: "memory to stay below (default half of the machine's)",
            doc: "Stay below SIZE bytes of memory, at least 48Mi. When it might be exceeded by the next growth of a \
                  table, the half of the blocks that was used least recently is forgotten. A forgotten block that comes back counts as \
                  new; the report then says how many were forgotten, marks the figures that have become \
                  bounds, and names the largest LRU cache that is still exact. The default is half of the \
                  machine's memory, or of the limit of the control group or the process (ulimit -v) if that \
                  is smaller. See MEMORY.",
            set: |options, value| {
                options.max_memory = Some(value.memory()?);
                Ok(())
            },
        },
        Opt {
            long: "window",
            short: Some('w'),
            arg: Arg::Value("SIZE"),
            help: "one line of JSON per window of 60s or of 10000 requests",
            doc: "Write one line of JSON (a row with --format=csv) for each window of the stream as soon as \
                  it is over, and no report at the end: its own figures, and under running the hit \
                  rates since the beginning of an infinite cache and of the caches asked for by \
                  --capacity. SIZE is a span of trace time (60s, 5m, 1h), for which a trace without any timestamp is refused, \
                  or a number of requests. \
                  Trace time is the largest timestamp so far; a late record counts in the window that is open. \
                  Percentiles have three digits. Without --capacity no memory grows with the number of requests.",
            set: |options, value| {
                options.window = Some(window(value)?);
                Ok(())
            },
        },
        Opt {
            long: "every",
            short: None,
            arg: Arg::Value("N"),
            help: "write the report so far after every N requests",
            doc: "Write the report of all that has been read so far after every N requests, and at the end.",
            set: |options, value| {
                options.every = Some(value.positive()?);
                Ok(())
            },
        },
        Opt {
            long: "model-config",
            short: None,
            arg: Arg::File("FILE"),
            help: "config.json of a model, in place of --kv-bytes-per-token",
            doc: "Work out --kv-bytes-per-token from the config.json of a Hugging Face model: its layers, KV \
                  heads, head size and number type, or its compressed size where it has multi-head latent \
                  attention. Models with sliding-window or recurrent layers are refused, since their bytes \
                  per token depend on the position.",
            set: |options, value| {
                let path = value.path();
                let name = path.display();
                let text = std::fs::read_to_string(&path).map_err(|e| format!("{name}: {e}"))?;
                let bytes = kv_bytes_per_token(&text).map_err(|message| format!("{name}: {message}"))?;
                options.model_kv_bytes = Some(bytes);
                Ok(())
            },
        },
        Opt {
            long: "partial",
            short: None,
            arg: Arg::None,
            help: "write the state of a piece of a trace, for --merge",
            doc: "Write no report but what this consecutive piece of a trace contributes to one, as JSON \
                  lines of a sixteenth of the size of the trace, or half where ids are hashes. See PIECES.",
            set: |options, _| {
                options.partial = true;
                Ok(())
            },
        },
        Opt {
            long: "piece",
            short: None,
            arg: Arg::Value("I/N"),
            help: "with --partial: this is piece I of N",
            doc: "Note in the state that this is piece I of N, so that --merge can refuse a wrong order, a \
                  gap and a missing end.",
            set: |options, value| {
                options.piece = Some(piece(value)?);
                Ok(())
            },
        },
        Opt {
            long: "merge",
            short: None,
            arg: Arg::None,
            help: "read states of pieces and report on the whole trace",
            doc: "Read the states that --partial wrote, in the order of the pieces, and write exactly the report \
                  of one run over the whole trace. Finite caches cannot be merged: their LRU stack is \
                  one for the whole trace.",
            set: |options, _| {
                options.merge = true;
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
                    "Largest less smallest timestamp; requests over duration; most requests in one second \
                     of trace time; mean gap between consecutive requests, and standard deviation of \
                     the gaps over their mean. A record stamped earlier than one before it (late) \
                     counts at the time of that one.",
                ),
                Block::Item(
                    "Dispersion (dispersion_10s)",
                    "Variance over mean of the number of requests per ten seconds of trace time: 1 for a \
                     Poisson process, more where requests come in bursts.",
                ),
                Block::Item(
                    "correlation",
                    "Pearson correlations between context, unique, input and output length over the requests \
                     that have ids.",
                ),
                Block::Item(
                    "capacity, target, ttl",
                    "Of each cache: the prompt tokens that it serves (hit_tokens), all prompt tokens that were \
                     measured (tokens), their quotient, and 1 / (1 - quotient): how many times the prefill work \
                     without a cache is that with it. A request's hit is its longest cached \
                     prefix; then its blocks are used from last to first, so that a block leaves an LRU cache \
                     after all that follow it. The row infinite is a cache without limit.",
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
            title: "POLICIES",
            body: &[
                Block::Text(
                    "In every cache a request's hit is its longest cached prefix; then the cache takes the \
                     request's blocks.",
                ),
                Block::Item(
                    "lru",
                    "Blocks are used from last to first, so a block leaves after all that follow it. All \
                     sizes come from one pass over stack distances.",
                ),
                Block::Item(
                    "fifo",
                    "Blocks that are absent enter from first to last. Simulated at each --capacity, at 32 \
                     bytes for each block that the cache holds; for a curve at the powers of two below the number \
                     of distinct blocks, and at that number, in 100 bytes for each distinct block.",
                ),
                Block::Item(
                    "lfu",
                    "Blocks are used from last to first. The count of a block begins anew when it comes \
                     back; of blocks with equal counts the one used least recently leaves. Simulated as fifo is, \
                     at 80 bytes for each block that a cache holds, 240 for each distinct block for a curve.",
                ),
                Block::Item(
                    "opt",
                    "Belady's rule on leaves, with bypass: after each request the cache keeps those blocks, of \
                     its own and the request's, that are used again soonest, a block before those that follow \
                     it. That serves the most blocks possible after the warm-up; a last, partial \
                     block counts as one, but for fewer tokens. Computed when the input has ended, from 8 bytes \
                     for each id in it and 16 for each request. If that is more than --max-memory leaves, \
                     the run ends with an error. Where ids are no forest the figure is not a limit.",
                ),
            ],
        },
        Section {
            title: "ESTIMATES",
            body: &[Block::Text(
                "--approx samples blocks by a hash of their id, the same on every machine, and lowers the \
                 sampling rate as blocks grow in number. First blocks are all kept as long as they are fewer \
                 than half of the sample, and so are blocks used eight times or more before the sample was \
                 full for the first time, so that chance does not decide about a system prompt. The errors come \
                 from the differences between sixteen parts of the sample; two in three times, the \
                 true figure is within one standard error. On a chat trace of 12,031 requests and 182,790 distinct \
                 blocks a sample of 10,000 missed the hit rates of caches from 5,000 blocks to infinite by 0.2 to 0.4 \
                 percentage points, and one of 1,000 by 0.5 to 1.1 (root mean square over twenty samples); the \
                 standard errors were 1.1 times that.\n\n\
                 The estimate is for ids that form a forest. It goes with one report or --every, not with \
                 --window, --ttl, --top, and other policies than lru.",
            )],
        },
        Section {
            title: "CHARTS",
            body: &[Block::Text(
                "--format=html writes one file that needs no network and no script: the statistics table and the \
                     totals, the hit rate against capacity under each of --policy, the distributions of the lengths and \
                     hit rates, arrivals and hit rate over trace time, and of each chart the data as a table, with \
                     the figures of --format=json, digit by digit, in the attribute value of each cell. It follows the \
                     reader's choice of light or dark, and fits a phone. --format=svg is the chart of capacity alone. \
                     --plot draws that chart and the lengths in the terminal.\n\n\
                     All of them imply --curve for the chart, but tables list the capacities of the curve only if it \
                     is asked for. The axis is by ratio, in blocks, and with --kv-bytes-per-token or --model-config \
                     also in GiB; the dashed line is the infinite cache. Rings are the caches of --capacity and \
                     --target. Points are joined by straight lines.\n\n\
                     Estimates of --approx have a band of one standard error on both sides. Where blocks have been \
                     forgotten (--max-memory), lower bounds are dotted and called at least. With --merge there is no \
                     curve, since finite caches cannot be merged, so --format=svg is refused; with --approx there are \
                     no context, unique and cached lengths and no hits over time. With --by the page has a table of \
                     the values and then charts for each; --format=svg is refused. Charts do not go with --partial \
                     and --window, and html and svg not with --every.\n\n\
                     Lengths are counted in bins that rise by a quarter of a doubling, with one of its own for 0; hit \
                     rates in twentieths. Time is counted in at most 256 buckets, at first of 125 ms of trace time: \
                     when the trace outgrows them, each two become one, twice as long; and so they do for the chart \
                     where more than 32 would hold fewer than four requests each. A late record counts at the time \
                     of the latest one before it. That takes 12 KiB, and nothing if there is no chart.",
            )],
        },
        Section {
            title: "PIECES",
            body: &[Block::Text(
                "A long trace can be analysed by several processes or machines. Cut it into consecutive pieces \
                 (split -n l/4, or by day) in which equal ids are equal blocks: pieces of one \
                 trace, or traces hashed with the same state. Run trace-stats --partial on each, \
                 and trace-stats --merge on the results in the order of the pieces, as FILEs or \
                 joined by cat. Block sizes must be equal. A wrong order or a gap is found if the pieces are \
                 numbered by --piece; if they are not, only a piece that begins before the one \
                 before it is refused, and a gap cannot be seen. The state of a piece takes some 20 bytes for \
                 each request, and where ids are hashes some 21 more for each distinct block.",
            )],
        },
        Section {
            title: "MEMORY",
            body: &[Block::Text(
                "About 6 MiB, and for each request 4 to 6 bytes, and for each distinct block one bit. \
                 That holds where ids are numbered 0, 1, 2, ... in the order of first appearance, or at least \
                 rise at each new block (a piece of such a trace). Other ids, such as hashes, take some \
                 21 bytes more for each distinct block. At most 4,294,967,295 distinct blocks can \
                 be told apart.\n\n\
                 --capacity, --curve, --target, --ttl and charts take 8 bytes more for each distinct block, 4 for \
                 each request (12 with --ttl), and 8 for each stack distance that occurs.\n\n\
                 --top takes 24 bytes for each request and 120 for each shared prefix. At most 200,000 of these \
                 are remembered; then the half that saved least is dropped, and the report says by how \
                 many tokens, at most, what a prefix saves may be understated (top_error_tokens).\n\n\
                 Of --max-memory a third of what it leaves above 24 MiB is used for blocks and requests, the \
                 rest being the room in which tables grow and old blocks are forgotten: at 64Mi some 500,000 \
                 blocks whose ids are hashes, or three million of a dense trace. Beyond half of \
                 that, uses are noted at 4 bytes for each distinct block, also without --capacity. With \
                 --by the whole trace and its groups have half of the limit each; the group that takes most forgets \
                 first. Each group takes 40 bytes for every different length in it besides, at most 5 MiB, or some 20 MiB \
                 where prompts pass 262,144 tokens, and what stack distances take, which is not forgotten: when memory gets short, further values are in the group (other), \
                 and it is an error when even that is not enough. Hit rates of requests are counted as \
                 exact fractions, at 64Mi up to 32,768 different ones and from 1Gi on 1,048,576, and rounded to as many \
                 parts beyond. --partial and --merge must know all blocks and end with an error at the limit.",
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
                    what: "How large must a cache be?",
                    command: "trace-hash prompts.jsonl | trace-stats --capacity 10,20,50 --target 90%,99%",
                },
                Block::Example {
                    what: "What would another eviction policy gain?",
                    command: "trace-hash prompts.jsonl | trace-stats --capacity 10,20,50 --policy lru,fifo,lfu,opt",
                },
                Block::Example {
                    what: "Which prefixes are worth caching? The text of the best one, by its line",
                    command: "trace-hash --turns last prompts.jsonl | trace-stats --top 3 -f json > report.json\n\
                              sed -n $(jq .top[0].first_line report.json)p prompts.jsonl | cut -c 1-300",
                },
                Block::Example {
                    what: "A page with charts: hit rate by capacity, distributions, arrivals",
                    command: "trace-hash prompts.jsonl | trace-stats -f html --model-config examples/config.json -o report.html",
                },
                Block::Example {
                    what: "The same with the curves of three policies; and the curve alone as a picture",
                    command: "trace-hash prompts.jsonl > trace.jsonl\n\
                              trace-stats -f html --policy lru,fifo,opt -o report.html trace.jsonl\n\
                              trace-stats -f svg --policy lru,fifo,opt -o curve.svg trace.jsonl",
                },
                Block::Example {
                    what: "The curve and the distributions in the terminal",
                    command: "trace-hash prompts.jsonl | trace-stats --plot",
                },
                Block::Example {
                    what: "The capacities above in memory of a model with 128 KiB per token (Llama 3.1 8B)",
                    command: "trace-hash prompts.jsonl | trace-stats -c 512MiB,2GiB --kv-bytes-per-token 131072",
                },
                Block::Example {
                    what: "The same from the configuration of the model",
                    command: "trace-hash prompts.jsonl | trace-stats -c 512MiB,2GiB --model-config examples/config.json",
                },
                Block::Example {
                    what: "What prompt caches that expire after five minutes or an hour would serve, \
                           once the first half of the trace has filled them",
                    command: "trace-hash -b 16 prompts.jsonl > trace.jsonl\n\
                              trace-stats -b 16 --ttl 5m,1h --warmup 0.5 trace.jsonl",
                },
                Block::Example {
                    what: "Hits as an engine with blocks of 16 tokens counts them",
                    command: "trace-hash -b 16 prompts.jsonl | trace-stats -b 16 --hits engine --curve -f csv",
                },
                Block::Example {
                    what: "A line for each ten seconds of a trace, as it grows if the input is tail -f",
                    command: "trace-hash prompts.jsonl | trace-stats --window 10s --capacity 10,20 | jq -c .running",
                },
                Block::Example {
                    what: "An endless stream in fixed memory",
                    command: "trace-hash prompts.jsonl | trace-stats --max-memory 64Mi --window 20 -c 10 -f csv",
                },
                Block::Example {
                    what: "The curve from a sample, where the trace has more blocks than memory",
                    command: "trace-hash -b 16 prompts.jsonl | trace-stats -b 16 --approx 500 --curve",
                },
                Block::Example {
                    what: "The hit rate of each session",
                    command: "trace-hash --keep session_id prompts.jsonl | trace-stats --by session_id -f json | jq -c '.groups[] | [.value, .token_hit_rate]'",
                },
                Block::Example {
                    what: "The report so far after every twenty requests",
                    command: "trace-hash prompts.jsonl | trace-stats --every 20",
                },
                Block::Example {
                    what: "Two halves of a trace at a time",
                    command: "trace-hash prompts.jsonl > trace.jsonl\n\
                              split -n l/2 trace.jsonl piece.\n\
                              trace-stats --partial --piece 1/2 piece.aa > 1.part &\n\
                              trace-stats --partial --piece 2/2 piece.ab > 2.part\n\
                              wait\n\
                              trace-stats --merge 1.part 2.part",
                },
                Block::Example {
                    what: "A file for Prometheus, from cron",
                    command: "trace-hash prompts.jsonl | trace-stats -f prometheus -o kv.prom",
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
