//! Peaks per second where the times of a trace come in steps of more than a second: what is counted in one second
//! is then what came in a whole step.

use crate::stats::cache::BlockFlow;
use crate::stats::figures::{ArrivalFigures, Report};

/// Spreads the peaks of fleets and tiers over the length of a step.
pub(super) fn spread(report: &mut Report) {
    let Some(seconds) = report.arrivals.as_ref().and_then(ArrivalFigures::long_step_s) else { return };
    let spread = |peak: &mut Option<u128>| {
        *peak = peak.map(|most| (most as f64 / seconds).round() as u128);
    };
    for fleet in &mut report.fleets {
        spread(&mut fleet.peak_second_tokens);
        fleet.compute.iter_mut().for_each(|compute| spread(&mut compute.peak_second_flops));
    }
    for tier in report.tiers.iter_mut().flat_map(|row| &mut row.tiers) {
        for flow in [&mut tier.promoted, &mut tier.demoted, &mut tier.written].into_iter().flatten() {
            let BlockFlow { peak_per_s, replica_peak_per_s, .. } = flow;
            spread(peak_per_s);
            spread(replica_peak_per_s);
        }
    }
}
