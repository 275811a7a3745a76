//! Figures of a trace, in one pass.
//!
//! [`Analysis`] takes one record at a time and can be asked for a [`Report`] at any moment. Inside, a record
//! is numbered and timed once (`seen`), and then taken by independent statistics, a file each
//! (`statistics` lists them).

mod accuracy;
mod analysis;
mod arrivals;
mod billing;
mod bitmap;
mod block_sizes;
mod cache;
mod correlation;
mod distribution;
mod engine;
mod fenwick;
mod figures;
mod groups;
mod hit_check;
mod hit_count;
mod infinite;
mod labels;
mod lengths;
mod memory;
mod origins;
mod piece_copies;
mod piece_end;
mod piece_groups;
mod piece_header;
mod piece_row;
mod piece_writer;
mod pieces;
mod prefixes;
mod price;
mod rates;
mod recency;
mod recorded;
mod recorded_figures;
mod repeats;
mod request_log;
mod requests;
mod reuse;
mod run;
mod running;
mod sample;
mod seen;
mod separate;
mod server;
mod sharing;
mod statistic;
mod statistics;
mod summary;
mod task;
mod thrashing;
mod timeline;
mod totals;
mod window;

pub use accuracy::{Accuracy, Figure};
pub use analysis::Analysis;
pub use cache::{
    BlockFlow, CacheFigures, CacheOptions, CapacityRow, DepthRow, Fates, FleetCapacity, FleetCompute,
    FleetRow, FleetTarget, FleetTtl, Hits, KnownTokens, LastUse, Load, LoadFigures, MissFigures, MissRow,
    Policy, PrefillWork, RequestUse, Service, SessionSources, TargetRow, TierCurveRow, TierFigures, TierMode,
    TierPoint, TierRow, TierSizes, Ttl, TtlRow,
};
pub use correlation::Correlations;
pub use distribution::{Distribution, EXACT_BELOW};
pub use engine::Answers;
pub use figures::{
    ArrivalFigures, Bound, Bucket, PrefixFigures, PrefixRow, Report, RunningFigures, SampleFigures,
    StandardErrors, TimelineFigures, WindowFigures, WindowReport,
};
pub use groups::{GroupReport, Groups};
pub use hit_check::HitCheck;
pub use hit_count::{HitRule, HitUnit};
pub use infinite::{InfiniteCache, Lookup};
pub use labels::{MAX_GROUPS, NO_VALUE, OTHERS, label, value_of};
pub use origins::{AgeRow, ConcentrationRow, ReuseFigures, SharedByFigures, SharerRow};
pub use piece_header::{Piece, PieceRange};
pub use piece_writer::PartialWriter;
pub use pieces::Merger;
pub use price::{Cost, Price, PriceFigures};
pub use rates::RateDistribution;
pub use recorded_figures::{Comparison, RecordedCache, RecordedFigures, RecordedHour};
pub use requests::RequestReport;
pub use run::run;
pub use seen::Served;
pub use separate::SeparateCaches;
pub use server::ServerHits;
pub use statistics::AnalysisOptions;
pub use summary::{Bin, Summary, percentile_name};
pub use task::{Capacity, Mode, Render, Task, Warmup};
pub use thrashing::Thrashing;
pub use timeline::TIME_BUCKETS;
pub use window::WindowSize;
