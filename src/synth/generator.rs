//! Drawing requests of a model, with everything that the user changes.

use fastrand::Rng;

use super::draw::exponential;
use super::forest::Forest;
use super::knobs::Knobs;
use super::model::{Body, Model};
use super::replay::ReplayGenerator;
use super::request::SyntheticRequest;
use super::sessions::{Drawing, SessionsGenerator};
use super::tree::TreeGenerator;
use crate::error::Invalid;
use crate::record::time;

/// Draws requests without end. The same model, knobs and seed give the same requests.
pub struct Generator {
    block_size: u64,
    /// The only source of randomness.
    rng: Rng,
    knobs: Knobs,
    clock: ArrivalClock,
    now: f64,
    first: bool,
    /// Time of the last request in the model, in milliseconds.
    model_time: f64,
    source: RequestSource,
}

enum RequestSource {
    Sessions(Box<SessionsGenerator>),
    Replay(Box<ReplayGenerator>),
    /// The trace and its next request.
    Trace(Forest, usize),
    Tree(Box<TreeGenerator>),
}

/// Where the times between arrivals come from.
enum ArrivalClock {
    /// There are none.
    None,
    /// From the model, times a factor.
    Model(f64),
    /// Drawn independently, with this mean in milliseconds.
    Poisson(f64),
}

impl Generator {
    /// A generator of the requests of `model` as changed by `knobs`, of which `count` will be drawn if
    /// that is known.
    ///
    /// # Errors
    /// When the model cannot be changed as the knobs say.
    pub fn new(model: Model, knobs: Knobs, seed: u64, count: Option<u64>) -> Result<Self, Invalid> {
        const MOST_RUNS: u64 = 1 << 27;
        let has_times = model.header.has_times;
        let clock = match knobs.rate {
            Some(rate) => {
                let gap = match &model.body {
                    _ if !has_times => None,
                    Body::Trace(forest) => {
                        count.and_then(|n| forest.mean_gap(n)).or_else(|| model.mean_gap())
                    }
                    _ => Self::drawn_gap(&model, &knobs, seed, count)?,
                };
                // Where all requests come at once, there are no times to rescale.
                gap.map_or(ArrivalClock::Poisson(1000.0 / rate), |mean| {
                    ArrivalClock::Model(1000.0 / rate / mean)
                })
            }
            None if has_times => ArrivalClock::Model(1.0 / knobs.speedup),
            None => ArrivalClock::None,
        };
        let has_ids = model.header.has_ids;
        let (size, copies) = (model.header.block_size, knobs.prefix_root);
        let runs = model.body.core().runs.len();
        if runs as u64 * u64::from(copies) > MOST_RUNS {
            let message = format!("{copies} copies of {runs} shared prefixes are too many to keep in memory");
            return Err(Invalid::value(message));
        }
        let requests = model.header.requests;
        let mut rng = Rng::with_seed(seed);
        if !matches!(model.body, Body::Sessions(_)) {
            knobs.refuse_for_sessions_only()?;
        }
        let source = match model.body {
            Body::Sessions(model) => {
                if knobs.hit_rate.is_some() && !has_ids {
                    return Err(Invalid::value("without hash_ids there is no hit rate to change"));
                }
                let drawing = Drawing { knobs: &knobs, block_size: size, count, requests };
                let sessions = drawing.generator(*model, seed, &mut rng)?;
                RequestSource::Sessions(Box::new(sessions))
            }
            Body::Replay(mut model) => {
                model.scale(knobs.prefix_len, knobs.prompt_len, size);
                RequestSource::Replay(Box::new(ReplayGenerator::new(model, size, copies)))
            }
            Body::Trace(forest) => {
                knobs.refuse_changes()?;
                RequestSource::Trace(forest, 0)
            }
            Body::Tree(mut model) => {
                model.scale(knobs.prefix_len, knobs.prompt_len);
                RequestSource::Tree(Box::new(TreeGenerator::new(model, size, copies)))
            }
        };
        let now = match &source {
            RequestSource::Trace(forest, _) => forest.start / knobs.speedup,
            _ => 0.0,
        };
        Ok(Self { block_size: size, rng, knobs, clock, now, first: true, model_time: 0.0, source })
    }

    /// Mean time between the first of the requests that will be drawn if nobody asks for a rate, in milliseconds: few
    /// requests, some that are left out and lanes have a rate of their own.
    fn drawn_gap(
        model: &Model,
        knobs: &Knobs,
        seed: u64,
        count: Option<u64>,
    ) -> Result<Option<f64>, Invalid> {
        const MOST_DRAWN: u64 = 200_000;
        let knobs = Knobs { rate: None, speedup: 1.0, ..knobs.clone() };
        let mut generator = Self::new(model.clone(), knobs, seed, count)?;
        let mut request = SyntheticRequest::default();
        let count = count.unwrap_or(MOST_DRAWN).min(MOST_DRAWN);
        generator.next(&mut request)?;
        let first = generator.now;
        for _ in 1..count {
            generator.next(&mut request)?;
        }
        let gap = (generator.now - first) / (count as f64 - 1.0);
        Ok(Some(gap).filter(|gap| gap.is_finite() && *gap > 0.0))
    }

    /// When the last request arrived, in milliseconds, or before any, when the first will.
    pub(super) fn now(&self) -> f64 {
        self.now
    }

    /// Draws the next request.
    ///
    /// # Errors
    /// When no request of a wanted length is found, or a request cannot be written.
    pub fn next(&mut self, request: &mut SyntheticRequest) -> Result<(), Invalid> {
        let (rng, limits) = (&mut self.rng, self.knobs.input);
        let mut gap_of_trace = 0.0;
        if let RequestSource::Trace(forest, next) = &mut self.source {
            if *next == forest.requests.len() {
                return Err(Invalid::value(format!(
                    "the trace has {next} requests, and the model none no more"
                )));
            }
            gap_of_trace = forest.request(*next, request);
            *next += 1;
        }
        let first = std::mem::take(&mut self.first);
        let mut gap_of_session = 0.0;
        if let RequestSource::Sessions(sessions) = &mut self.source {
            let time = sessions.draw(rng, request)?;
            gap_of_session = if first { 0.0 } else { time - self.model_time };
            self.model_time = time;
        }
        let gap = match &self.clock {
            ArrivalClock::None => None,
            ArrivalClock::Poisson(mean) if !first => Some(exponential(rng, *mean)),
            ArrivalClock::Poisson(_) => Some(0.0),
            ArrivalClock::Model(factor) => {
                let gap = match &mut self.source {
                    // The first batch starts the clock, and so does the first request.
                    RequestSource::Tree(tree) => tree.draw_gap(rng),
                    RequestSource::Sessions(_) => gap_of_session,
                    RequestSource::Trace(..) => gap_of_trace,
                    RequestSource::Replay(_) if first => 0.0,
                    RequestSource::Replay(replay) => replay.draw_gap(rng),
                };
                Some(if first { 0.0 } else { gap * factor })
            }
        };
        match &mut self.source {
            RequestSource::Sessions(_) | RequestSource::Trace(..) => {}
            RequestSource::Replay(replay) => replay.draw(rng, limits, request)?,
            RequestSource::Tree(tree) => tree.draw(rng, limits, request)?,
        }
        request.check_length(self.block_size)?;
        self.now += gap.unwrap_or(0.0);
        time::check_clock(self.now)?;
        request.timestamp = gap.map(|_| self.now);
        if let Some(place) = &mut request.place {
            place.delay = match (place.delay, &self.clock) {
                (Some(delay), ArrivalClock::Model(factor)) => Some(delay * factor),
                // The requests of a trace without times are learnt as one a second.
                (Some(delay), ArrivalClock::Poisson(mean)) => Some(delay * mean / 1000.0),
                (_, ArrivalClock::None) | (None, _) => None,
            };
        }
        if !matches!(self.source, RequestSource::Sessions(_)) {
            request.output_length = request.output_length.map(|length| self.knobs.output(length));
        }
        Ok(())
    }
}
