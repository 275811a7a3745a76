//! With which other modes of `trace-stats` an option does not go.

/// Options that choose another mode, with which an option does not go, and why.
pub(super) type Modes = &'static [(&'static str, &'static str)];

pub(super) const FORMATS: Modes = &[("merge", "--merge reads what --partial wrote")];

pub(super) const A_REPORT: Modes = &[("partial", "--partial writes no report, so give it to --merge")];

pub(super) const ONE_RUN: Modes = &[
    ("partial", "engines and the hits of single requests need the whole trace in one run"),
    ("merge", "engines and the hits of single requests need the whole trace in one run"),
];

pub(super) const NO_WINDOW: Modes = &[
    A_REPORT[0],
    (
        "window",
        "--target and --ttl go with a report or --every, and lines of --window have --capacity and --curve only",
    ),
];

pub(super) const ONE_ENGINE: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
    ("window", "requests that are served together end after the window"),
    ("every", "requests that are served together end after the report"),
];

pub(super) const ONE_CHECK: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
    ("window", "the hits of single requests are compared in one report"),
    ("by", "the hits of single requests are compared in one report"),
    ("approx", "a sample of blocks has no hits of single requests"),
];

pub(super) const ONE_LIST: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
    ("window", "one writes a line for each request, and the other for each window"),
    ("every", "--per-request writes lines in place of reports"),
    ("by", "--per-request writes lines in place of reports"),
    ("format", "--per-request writes JSON lines"),
    ("approx", "a sample of blocks has no hits of single requests"),
];

pub(super) const ONE_REPORT: Modes = &[
    ("partial", "pieces hold no sessions, so the fates of tokens need the whole trace in one run"),
    ("merge", "pieces hold no sessions, so the fates of tokens need the whole trace in one run"),
    ("window", "the fates of tokens are told in a report"),
    ("per-request", "the fates of tokens are told in a report"),
    ("approx", "a sample of blocks does not tell the fates of tokens"),
];

pub(super) const OF_ALL_BLOCKS: Modes = &[
    ("partial", "pieces hold only those blocks of a request that they introduce"),
    ("merge", "pieces hold only those blocks of a request that they introduce"),
    ("window", "where hits come from is told in a report"),
    ("per-request", "where hits come from is told in a report"),
    ("approx", "a sample of blocks does not tell where hits come from"),
];

pub(super) const ONE_BILL: Modes =
    &[A_REPORT[0], ("window", "costs are told in a report"), ("per-request", "costs are told in a report")];

const LINES: (&str, &str) = ("window", "--window writes a line for each window, and no report");

pub(super) const EVERY: Modes =
    &[LINES, A_REPORT[0], ("merge", "which blocks occur again is known at the end of each piece")];

pub(super) const TOP: Modes =
    &[LINES, A_REPORT[0], ("merge", "pieces hold only those blocks of a request that they introduce")];

pub(super) const SAMPLE: Modes = &[LINES, A_REPORT[0], ("merge", "pieces hold no sample")];

pub(super) const GROUPS: Modes = &[LINES, ("every", "groups are in one report, at the end")];

pub(super) const SIZES: Modes = &[
    LINES,
    A_REPORT[0],
    ("merge", "pieces hold blocks of one size: make pieces of what trace-cat --reblock writes"),
    GROUPS[1],
    ("by", "--block-sizes makes the groups of the report"),
    ("per-request", "--per-request writes lines in place of reports"),
];

pub(super) const CHARTS: Modes = &[LINES, A_REPORT[0]];

/// Why pieces go neither with replicas nor with tiers.
const IN_ONE_CACHE: &str = "a piece holds the stack of one cache: give --replicas and --tiers to a run over the whole \
                            trace, or route with trace-cat --route and make pieces with --by replica";

pub(super) const FLEETS: Modes = &[
    ("partial", IN_ONE_CACHE),
    ("merge", IN_ONE_CACHE),
    ("window", "lines of --window have --capacity and --curve of one cache only"),
    ("approx", "replicas hold what they have got, and a sample has only some of it"),
    ("per-request", "the hits of single requests are those of one cache"),
];
