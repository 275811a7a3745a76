//! Random numbers that `fastrand` does not have.

use fastrand::Rng;

/// From here on a binomial number is drawn as a rounded normal one.
const MANY: u64 = 256;

/// A standard normal number (Box and Muller).
pub(super) fn normal(rng: &mut Rng) -> f64 {
    let radius = (-2.0 * (1.0 - rng.f64()).ln()).sqrt();
    radius * (std::f64::consts::TAU * rng.f64()).cos()
}

/// How many of `count` trials succeed.
pub(super) fn binomial(rng: &mut Rng, count: u64, chance: f64) -> u64 {
    if count <= MANY {
        return (0..count).filter(|_| rng.f64() < chance).count() as u64;
    }
    let mean = count as f64 * chance;
    let drawn = mean + (mean * (1.0 - chance)).sqrt() * normal(rng);
    drawn.round().clamp(0.0, count as f64) as u64
}

/// A number of the gamma distribution (Marsaglia and Tsang, 2000).
fn gamma(rng: &mut Rng, shape: f64) -> f64 {
    if shape < 1.0 {
        let raised = gamma(rng, shape + 1.0);
        return raised * (1.0 - rng.f64()).powf(1.0 / shape);
    }
    let d = shape - 1.0 / 3.0;
    let c = 1.0 / (9.0 * d).sqrt();
    loop {
        let x = normal(rng);
        let v = (1.0 + c * x).powi(3);
        if v > 0.0 && (1.0 - rng.f64()).ln() < 0.5 * x * x + d - d * v + d * v.ln() {
            return d * v;
        }
    }
}

/// A number of the beta distribution.
pub(super) fn beta(rng: &mut Rng, a: f64, b: f64) -> f64 {
    let (x, y) = (gamma(rng, a), gamma(rng, b));
    if x + y > 0.0 { x / (x + y) } else { 0.5 }
}

/// Puts items in random order.
pub(super) fn shuffle<T>(rng: &mut Rng, items: &mut [T]) {
    for i in (1..items.len()).rev() {
        items.swap(i, rng.usize(..=i));
    }
}
