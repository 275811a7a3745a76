//! More or less reuse than in the trace.
//!
//! More, by longer shared beginnings and more turns; less, by fewer turns and by beginnings that are not shared.
//! How much of it is found by bisection: the rate of a trial is measured on the very requests that would be
//! written.

use fastrand::Rng;

use super::bend::{Bend, Drawing};
use super::generator::SessionsGenerator;
use super::model::SessionsModel;
use crate::error::Invalid;
use crate::stats::InfiniteCache;
use crate::synth::request::SyntheticRequest;

/// How close to the target a rate must be.
const TOLERANCE: f64 = 0.01;

/// Requests that are measured, at most, and steps of the bisection.
const SAMPLE: u64 = 200_000;
const STEPS: u32 = 12;

impl Drawing<'_> {
    /// A generator of requests with the hit rate that is asked for, if one is.
    ///
    /// # Errors
    /// When the model is not complete, or cannot have that rate: with those that it can have.
    pub(in crate::synth) fn generator(
        &self,
        model: SessionsModel,
        seed: u64,
        rng: &mut Rng,
    ) -> Result<SessionsGenerator, Invalid> {
        let bend = match self.knobs.hit_rate {
            Some(target) => self.reach(&model, seed, target)?,
            None => Bend::default(),
        };
        SessionsGenerator::new(model, self, bend, rng)
    }

    fn reach(&self, model: &SessionsModel, seed: u64, target: f64) -> Result<Bend, Invalid> {
        let plain = self.rate(model, seed, Bend::default())?;
        if (plain - target).abs() <= TOLERANCE / 4.0 {
            return Ok(Bend::default());
        }
        let side = if target > plain { 1.0 } else { -1.0 };
        let limit = self.rate(model, seed, Bend::new(side))?;
        if (target - plain).abs() > (limit - plain).abs() + TOLERANCE || (limit > plain) != (target > plain) {
            let other = self.rate(model, seed, Bend::new(-side))?;
            let (low, high) = (limit.min(other).min(plain), limit.max(other).max(plain));
            return Err(Invalid::value(format!(
                "a hit rate of {target} is out of reach: from {low:.4} to {high:.4} can be had"
            )));
        }
        let mut best = (side, limit);
        let (mut low, mut high) = (0.0, 1.0);
        for _ in 0..STEPS {
            let share = f64::midpoint(low, high);
            let rate = self.rate(model, seed, Bend::new(side * share))?;
            if (rate - target) * side > 0.0 {
                high = share;
            } else {
                low = share;
            }
            if (rate - target).abs() < (best.1 - target).abs() {
                best = (side * share, rate);
            }
            if (rate - target).abs() <= TOLERANCE / 4.0 {
                break;
            }
        }
        if (best.1 - target).abs() > TOLERANCE {
            let nearest = best.1;
            return Err(Invalid::value(format!(
                "a hit rate of {target} cannot be had with so few requests: the nearest is {nearest:.4}"
            )));
        }
        Ok(Bend::new(best.0))
    }

    /// Share of the prompt tokens that an infinite cache serves.
    pub(super) fn rate(&self, model: &SessionsModel, seed: u64, bend: Bend) -> Result<f64, Invalid> {
        let mut rng = Rng::with_seed(seed);
        let mut generator = SessionsGenerator::new(model.clone(), self, bend, &mut rng)?;
        let mut request = SyntheticRequest::default();
        let (mut cache, mut ids) = (InfiniteCache::default(), Vec::new());
        let (mut cached, mut tokens) = (0, 0);
        for _ in 0..self.count.unwrap_or(self.requests).min(SAMPLE) {
            generator.draw(&mut rng, &mut request)?;
            request.check_length(self.block_size)?;
            tokens += request.input_length;
            ids.clear();
            ids.extend(request.ids());
            let known = u64::from(cache.request(&ids)?.known);
            cached += (known * self.block_size).min(request.input_length);
        }
        Ok(if tokens == 0 { 0.0 } else { cached as f64 / tokens as f64 })
    }
}
