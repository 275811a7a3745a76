//! The analysis of a run while its input is read, and what is written and said at its end.

use std::borrow::Cow;

use super::analysis::Analysis;
use super::block_sizes::{BlockSizes, FIELD};
use super::cache::CapacityRow;
use super::figures::{ArrivalFigures, Report};
use super::groups::Groups;
use super::hit_count::HitRule;
use super::labels::label;
use super::task::{Mode, Render, Task};
use super::thrashing::Thrashing;
use crate::error::{Error, Result};
use crate::fleet::Route;
use crate::io::{Observer, Output};
use crate::record::raw::Found;
use crate::record::time::{late_note, unit_note};
use crate::record::{TraceReader, general, prompt};

/// An analysis while its input is read.
pub(super) struct Running<'a> {
    task: &'a Task,
    warmup: u64,
    every: Option<u64>,
    by: Option<&'a str>,
    /// Made with the first record, which settles the block size.
    analysis: Option<Analysis>,
    groups: Option<Groups>,
    /// Made with the first record, if sizes are asked for.
    sizes: Option<BlockSizes>,
    requests: u64,
    /// Whether a record has had the field of the groups.
    has_field: bool,
    /// Records that do not state the priority that is asked for.
    without_priority: u64,
    /// Records that do not name their session.
    without_session: u64,
    /// The same of those for a router.
    without_affinity: u64,
    /// Bad records that have been skipped.
    pub(super) skipped: u64,
}

impl<'a> Running<'a> {
    /// Nothing has been read yet. `warmup` requests only fill the caches.
    pub(super) fn new(task: &'a Task, warmup: u64) -> Self {
        let (every, by) = match &task.mode {
            Mode::Report { every, by } => (*every, by.as_deref()),
            _ => (None, None),
        };
        Self {
            task,
            warmup,
            every,
            by,
            analysis: None,
            groups: None,
            sizes: None,
            requests: 0,
            has_field: false,
            without_priority: 0,
            without_session: 0,
            without_affinity: 0,
            skipped: 0,
        }
    }

    /// After an analysis of everything, and of these groups.
    pub(super) fn after(task: &'a Task, analysis: Analysis, groups: Vec<(String, Analysis)>) -> Self {
        let groups = (!groups.is_empty()).then(|| Groups::of(task.empty_block_size(), groups));
        Self { requests: analysis.requests(), analysis: Some(analysis), groups, ..Self::new(task, 0) }
    }

    /// Takes the current record of `reader`, and appends what is to be written with it.
    #[inline]
    pub(super) fn add(&mut self, reader: &TraceReader, style: &dyn Render, out: &mut Vec<u8>) -> Result<()> {
        self.requests += 1;
        let (record, block_size) = (reader.record(), reader.block_size());
        self.without_priority += u64::from(record.priority.is_none());
        self.without_session += u64::from(record.session.is_none());
        self.without_affinity += u64::from(record.affinity.is_none());
        let analysis = match &mut self.analysis {
            Some(analysis) => analysis,
            None => {
                self.task.check_capacities(block_size)?;
                self.task.check_hit_unit(block_size)?;
                let options = self.task.analysis_options(block_size, self.warmup);
                self.analysis.insert(Analysis::new(block_size, options))
            }
        };
        if let Some(mut window) = analysis.close_window(record) {
            window.running.skipped_records = reader.input().skipped_so_far().0;
            style.window(&window, out);
        }
        if let Some(field) = &self.task.analysis.shared_by {
            let value = value_in(reader.line(), field);
            self.has_field |= value.as_ref().is_some_and(|value| value != "null");
            analysis.set_sharer(&label(value.as_deref()));
        }
        analysis.add(record).map_err(|message| reader.input().error(message))?;
        while let Some(row) = analysis.take_request() {
            if self.task.mode == Mode::Requests {
                style.request(&row, out);
            }
        }
        if !self.task.block_sizes.is_empty() {
            let sizes = match &mut self.sizes {
                Some(sizes) => sizes,
                None => self.sizes.insert(self.task.begin_block_sizes(block_size, self.warmup)?),
            };
            sizes.add(record).map_err(|message| reader.input().error(message))?;
        }
        if let Some(field) = self.by {
            let value = value_in(reader.line(), field);
            self.has_field |= value.as_ref().is_some_and(|value| value != "null");
            let groups = self.groups.get_or_insert_with(|| {
                Groups::new(block_size, self.task.analysis_options(block_size, self.warmup))
            });
            let added = groups.add(&label(value.as_deref()), record);
            added.map_err(|message| reader.input().error(message))?;
        }
        if self.every.is_some_and(|every| self.requests.is_multiple_of(every)) {
            let skipped_records = reader.input().skipped_so_far().0;
            style.report(&Report { skipped_records, ..self.task.figures(analysis) }, out);
        }
        Ok(())
    }

    /// Writes what is left to be written at the end.
    pub(super) fn finish(
        &mut self,
        style: &dyn Render,
        mut output: Output,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let mut analysis = self.analysis.take().unwrap_or_else(|| {
            let block_size = self.task.empty_block_size();
            Analysis::new(block_size, self.task.analysis_options(block_size, self.warmup))
        });
        if self.requests > 0 && !analysis.has_times() {
            self.task.refuse_spans_of_time()?;
        }
        analysis.finish();
        while let Some(row) = analysis.take_request() {
            if self.task.mode == Mode::Requests {
                style.request(&row, output.buffer());
            }
        }
        if let Some(mut window) = analysis.last_window() {
            window.running.skipped_records = self.skipped;
            style.window(&window, output.buffer());
        }
        let is_reported =
            self.every.is_some_and(|every| self.requests > 0 && self.requests.is_multiple_of(every));
        if is_reported || matches!(self.task.mode, Mode::Windows(_)) {
            if self.task.replaces && output.buffer().is_empty() {
                output.abandon();
                return Ok(());
            }
            output.finish()?;
            note(self.task, &self.task.figures(&analysis), observer);
            return Ok(());
        }
        if self.task.mode == Mode::Requests {
            output.finish()?;
            note(self.task, &analysis.report(&self.task.percentiles), observer);
            return Ok(());
        }
        let sizes = self.sizes.take().map(BlockSizes::into_groups);
        let field = if self.task.block_sizes.is_empty() { self.by } else { Some(FIELD) };
        let mut groups = sizes.or_else(|| self.groups.take());
        groups.iter_mut().for_each(Groups::finish);
        let groups = field.map(|field| (field, groups.as_ref()));
        let figures = Report { skipped_records: self.skipped, ..self.task.figures(&analysis) };
        report(self.task, &figures, groups, style, output, observer)
    }

    /// Says which fields that were asked for no record had.
    pub(super) fn note_missing_fields(&self, observer: &mut dyn Observer) {
        let shared_by = self.task.analysis.shared_by.as_deref();
        let named = [(self.by, "by"), (shared_by, "shared_by")].into_iter();
        if self.requests > 0 && !self.has_field {
            for (field, setting) in named.filter_map(|(field, setting)| Some((field?, setting))) {
                observer.note(&format!(
                    "no record has the field \"{field}\" of `{setting}` (trace-hash and trace-cat take fields of \
                     logs along with `keep`)"
                ));
            }
        }
        let priority = self.task.analysis.caches.priority_field.as_ref();
        if let Some(field) = priority.filter(|_| self.without_priority > 0) {
            observer.note(&format!(
                "{} of {} requests are missing field \"{field}\": they count as priority 0 in `policy` priority",
                self.without_priority, self.requests
            ));
        }
        let keeps_sessions =
            self.task.analysis.caches.fleets.iter().any(|fleet| fleet.route == Route::Session);
        if keeps_sessions && self.without_affinity > 0 {
            observer.note(&format!(
                "{} of {} requests do not name their session (see `session_field`): `route` session sends each of them by itself",
                self.without_affinity, self.requests
            ));
        }
        if self.task.analysis.caches.load.sessions && self.without_session > 0 {
            observer.note(&format!(
                "{} of {} requests do not name their session: with `sessions` they wait for the request whose \
                 prompt theirs continues",
                self.without_session, self.requests
            ));
        }
    }
}

/// The value of a field in a line of JSON, as it is written there: of one with that name, else at that path.
pub(super) fn value_in<'a>(line: &'a [u8], field: &str) -> Option<Cow<'a, str>> {
    if let Some(span) = general::field_span(line, field) {
        return std::str::from_utf8(&line[span]).ok().map(Cow::Borrowed);
    }
    let is_path = field.starts_with('/') || field.contains('.');
    let line = std::str::from_utf8(line).ok().filter(|_| is_path)?;
    prompt::value_in(line, field).map(Found::into_text)
}

/// Writes the report at the end, and says what its reader should know.
fn report(
    task: &Task,
    figures: &Report,
    groups: Option<(&str, Option<&Groups>)>,
    style: &dyn Render,
    mut output: Output,
    observer: &mut dyn Observer,
) -> Result<()> {
    // What a file for a monitor says must not become nothing because what feeds the pipe failed.
    if let Some(path) = task.output.as_ref().filter(|_| task.replaces && figures.requests == 0) {
        return Err(Error::Failed(format!("no requests in the input, so {} stays as it is", path.display())));
    }
    match groups {
        None => style.report(figures, output.buffer()),
        Some((field, groups)) => {
            let report = |(value, group): (Option<&str>, &Analysis)| {
                (value.map(str::to_owned), group.report(&task.percentiles))
            };
            let groups: Vec<_> = groups.iter().flat_map(|groups| groups.iter()).map(report).collect();
            style.groups(figures, field, &groups, output.buffer());
        }
    }
    output.finish()?;
    note(task, figures, observer);
    Ok(())
}

fn note(task: &Task, figures: &Report, observer: &mut dyn Observer) {
    if figures.requests == 0 {
        observer.note("no requests in the input");
    } else if figures.requests_without_ids > 0 {
        let (n, all) = (figures.requests_without_ids, figures.requests);
        observer.note(&format!(
            "{n} of {all} requests are missing field \"hash_ids\": they count in input and output length only"
        ));
    }
    let wrong_clock = figures.arrivals.as_ref().and_then(|arrivals| arrivals.wrong_clock);
    if let Some(wrong) = wrong_clock {
        let record =
            if wrong.line > 0 { format!("the record on line {}", wrong.line) } else { "a record".into() };
        observer.note(&format!(
            "{record} is dated {} after those around it, and all later ones count at its time: rates, peaks, times to \
             live and the load of replicas are wrong unless it is left out",
            span(wrong.ahead_s)
        ));
    } else if let Some(late) = figures.arrivals.as_ref().and_then(|a| late_note(a.late, a.requests)) {
        observer.note(&format!(
            "{late}: figures of arrivals and hits are those of this order (see trace-cat `sort`)"
        ));
    }
    note_rule(task, figures, observer);
    note_fleets(task, figures, observer);
    let arrivals = figures.arrivals.as_ref();
    if let Some(seconds) = arrivals.and_then(ArrivalFigures::long_step_s) {
        let has_peaks = !figures.fleets.is_empty() || !figures.tiers.is_empty();
        let others =
            ", and what replicas and tiers have in their busiest second is what came in a whole step";
        observer.note(&format!(
            "times come in steps of {seconds:.3} s: the peak rate is that of a step over its length, burstiness is mostly \
             that of the steps{}",
            if has_peaks { others } else { "" }
        ));
    }
    let unit = arrivals.filter(|_| wrong_clock.is_none());
    if let Some(message) = unit.and_then(|a| unit_note(a.first_ms, a.last_ms, a.requests)) {
        observer.note(&message);
    }
    note_engines(figures, observer);
    note_opt(figures, observer);
    let ttls = &task.analysis.caches.ttls;
    if ttls.len() > 1 && task.analysis.price.is_some_and(|price| price.write != price.input) {
        observer.note(
            "all of `ttl` are priced with the one price of writing: where a longer time costs more to write (as twice the \
             input for an hour), give each a run of its own",
        );
    }
    if let Some(span) = arrivals.map(|a| a.duration_s).filter(|&span| span > 0.0) {
        let long: Vec<String> = ttls
            .iter()
            .map(|ttl| ttl.ms() as f64 / 1000.0)
            .filter(|&ttl| ttl >= span)
            .map(|ttl| format!("{ttl} s"))
            .collect();
        if !long.is_empty() {
            let long = long.join(", ");
            observer
                .note(&format!("`ttl` {long}: the trace spans {span} s, so nothing in it expires by then"));
        }
    }
    let expires = !ttls.is_empty();
    if expires && figures.arrivals.as_ref().is_none_or(|a| a.requests < figures.requests) {
        observer.note("`ttl` counts requests without a timestamp at the time of the one before");
    }
}

/// Says where an engine among the policies changes how the hits of all caches are counted.
fn note_rule(task: &Task, figures: &Report, observer: &mut dyn Observer) {
    let policies = &task.analysis.caches.policies;
    let is_mixed =
        policies.iter().any(|policy| policy.is_engine()) && !policies.iter().all(|p| p.is_engine());
    if is_mixed && figures.hit_rule == HitRule::Engine {
        observer.note(
            "hits of all caches are counted as engines do, without partial last blocks (`hits` engine)",
        );
    }
}

/// A span of time in the largest unit of which it has two.
fn span(seconds: f64) -> String {
    const UNITS: [(&str, f64); 3] = [("years", 365.0 * 86_400.0), ("days", 86_400.0), ("hours", 3600.0)];
    let unit = UNITS.into_iter().find(|(_, length)| seconds >= 2.0 * length);
    unit.map_or_else(|| format!("{seconds:.0} s"), |(name, length)| format!("{:.0} {name}", seconds / length))
}

/// Says which figures beside those of replicas are not theirs.
fn note_fleets(task: &Task, figures: &Report, observer: &mut dyn Observer) {
    if figures.fleets.is_empty() {
        return;
    }
    let sized = figures.fleets.iter().any(|fleet| !fleet.capacity.is_empty() || !fleet.targets.is_empty());
    if sized {
        observer.note(
            "requests, work and peaks of replicas are those of caches without limit: with smaller ones more is computed",
        );
    }
    if task.analysis.caches.misses {
        observer.note(
            "the fates of tokens are those in one cache of each size for all requests, and not in replicas",
        );
    }
    if !figures.servers.is_empty() {
        observer.note(
            "the counters are compared with one cache of each size for all requests, and not with replicas",
        );
    }
    let by_first = figures.fleets.iter().any(|fleet| matches!(fleet.route, Route::Prefix(1)));
    if by_first && figures.prefix_groups.value == 1 && figures.fleets.iter().any(|fleet| fleet.replicas > 1) {
        observer.note(
            "all prompts that share anything begin with the same block, so `route` prefix tells none of them apart: name \
             more blocks than they have in common, such as prefix=2",
        );
    }
}

/// Says where a cache serves more tokens than the one that serves the most blocks.
fn note_opt(figures: &Report, observer: &mut dyn Observer) {
    let rows = figures.caches.iter().flat_map(|caches| &caches.capacity);
    let best = rows.filter(|row| row.below_opt.is_some_and(|below| below < 0.0));
    let names: Vec<_> = best.map(CapacityRow::name).collect();
    if !names.is_empty() {
        observer.note(&format!(
            "{} more tokens than opt, which serves the most blocks: a last block may be partial",
            if names.len() == 1 {
                format!("{} serves", names[0])
            } else {
                format!("{} serve", names.join(", "))
            }
        ));
    }
}

/// The largest block size that vLLM offers without a model that asks for more.
const LARGEST_VLLM_BLOCK: u64 = 256;

/// Says which requests engines refuse, and which of their caches thrash.
fn note_engines(figures: &Report, observer: &mut dyn Observer) {
    let rows = figures.caches.iter().flat_map(|caches| &caches.capacity);
    let has_own_unit = figures.hit_unit.value.is_some();
    if figures.block_size > LARGEST_VLLM_BLOCK
        && !has_own_unit
        && rows.clone().any(|row| row.policy == "vllm")
    {
        observer.note(&format!(
            "blocks of {} tokens: vLLM's have 16 unless it is started with others, and find more of a prompt",
            figures.block_size
        ));
    }
    let duration_s = figures.arrivals.as_ref().map_or(0.0, |arrivals| arrivals.duration_s);
    let simulated = |row: &CapacityRow| row.load.as_ref().and_then(|load| load.simulated_s);
    let longest = rows.clone().filter_map(simulated).fold(0.0, f64::max);
    if duration_s > 60.0 && longest > 1.1 * duration_s {
        observer.note(&format!(
            "an engine of this `service` takes {longest:.0} s for the {duration_s:.0} s of the trace: it does not keep up"
        ));
    }
    for row in rows.clone().filter(|row| row.refused_requests.is_some_and(|refused| refused > 0)) {
        let (refused, blocks, policy) = (row.refused_requests.unwrap_or(0), row.capacity_blocks, row.policy);
        observer.note(&format!(
            "{refused} of {} requests need more than {blocks} blocks: refused by `policy` {policy}, and in none of its figures",
            figures.requests
        ));
    }
    if !figures.checks.is_empty() && figures.checks.iter().all(|check| check.requests == 0) {
        let message = if figures.requests_without_ids == figures.requests {
            "no record has \"hash_ids\", so there are no hits to be compared by `check_hits`"
        } else {
            "no record has \"cached_tokens\" to be compared by `check_hits`"
        };
        observer.note(message);
    }
    for server in &figures.servers {
        let tokens = server.hits.tokens;
        if let Some(row) = rows.clone().find(|row| row.hits.tokens != tokens) {
            observer.note(&format!(
                "{} counts hits of {tokens} prompt tokens, and {} is asked for {}: these are not the same requests, \
                 or not cut into the same tokens",
                server.server,
                row.name(),
                row.hits.tokens,
            ));
        }
    }
    for thrashing in Thrashing::all(figures) {
        observer.note(&thrashing.to_string());
    }
}
