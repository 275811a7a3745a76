//! With which other modes of `trace-stats` an option does not go.

/// Options that choose another mode, with which an option does not go, and why.
pub(super) type Modes = &'static [(&'static str, &'static str)];

pub(super) const FORMATS: Modes = &[("merge", "--merge reads what --partial wrote")];

pub(super) const A_REPORT: Modes = &[("partial", "--partial writes no report, so give it to --merge")];

pub(super) const ONE_RUN: Modes = &[
    ("partial", "finite caches need the whole trace in one run"),
    ("merge", "finite caches need the whole trace in one run"),
];

pub(super) const ONE_RUN_AND_REPORT: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
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
    ONE_RUN[0],
    ONE_RUN[1],
    ("window", "the fates of tokens are told in a report"),
    ("per-request", "the fates of tokens are told in a report"),
    ("approx", "a sample of blocks does not tell the fates of tokens"),
];

pub(super) const OF_ALL_BLOCKS: Modes = &[
    ("partial", "where hits come from is told by the run over the whole trace"),
    ("merge", "where hits come from is told by the run over the whole trace"),
    ("window", "where hits come from is told in a report"),
    ("per-request", "where hits come from is told in a report"),
    ("approx", "a sample of blocks does not tell where hits come from"),
];

pub(super) const ONE_BILL: Modes = &[
    ("partial", "pieces have no costs: give it to the run over the whole trace"),
    ("merge", "pieces have no costs: give it to the run over the whole trace"),
    ("window", "costs are told in a report"),
    ("per-request", "costs are told in a report"),
];

pub(super) const WHOLE_REPORT: Modes = &[
    ("window", "--window writes a line for each window, and no report"),
    ("partial", "--partial writes no report"),
    ("merge", "--merge makes one report of what the pieces hold"),
];

pub(super) const GROUPS: Modes =
    &[WHOLE_REPORT[0], WHOLE_REPORT[1], WHOLE_REPORT[2], ("every", "groups are in one report, at the end")];

pub(super) const SIZES: Modes = &[
    GROUPS[0],
    GROUPS[1],
    GROUPS[2],
    GROUPS[3],
    ("by", "--block-sizes makes the groups of the report"),
    ("per-request", "--per-request writes lines in place of reports"),
];

pub(super) const CHARTS: Modes = &[WHOLE_REPORT[0], WHOLE_REPORT[1]];

pub(super) const WINDOWS: Modes = &[WHOLE_REPORT[1], WHOLE_REPORT[2]];

pub(super) const FLEETS: Modes = &[
    ONE_RUN[0],
    ONE_RUN[1],
    ("window", "lines of --window have --capacity and --curve of one cache only"),
    ("approx", "replicas hold what they have got, and a sample has only some of it"),
    ("per-request", "the hits of single requests are those of one cache"),
];
