//! Pearson correlations of the lengths of a request, from exact sums.

/// Correlations between -1 and 1; `None` where one of the two does not vary.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Correlations {
    /// Context length and unique prompt length.
    pub context_unique: Option<f64>,
    /// Context length and output length.
    pub context_output: Option<f64>,
    /// Unique prompt length and output length.
    pub unique_output: Option<f64>,
    /// Input length and output length.
    pub input_output: Option<f64>,
    /// Input length and context length.
    pub input_context: Option<f64>,
    /// Input length and unique prompt length.
    pub input_unique: Option<f64>,
}

/// Running correlation of two quantities.
#[derive(Clone, Default)]
pub(super) struct Pearson {
    count: i128,
    x: i128,
    y: i128,
    xx: i128,
    yy: i128,
    xy: i128,
}

impl Pearson {
    pub(super) fn record(&mut self, x: u64, y: u64) {
        let (x, y) = (i128::from(x), i128::from(y));
        self.count += 1;
        self.x += x;
        self.y += y;
        self.xx += x * x;
        self.yy += y * y;
        self.xy += x * y;
    }

    /// The correlation, rounded once at the end as long as the products fit into 128 bits.
    pub(super) fn correlation(&self) -> Option<f64> {
        let covariance = self.centred(self.xy, self.x, self.y);
        let (vx, vy) = (self.centred(self.xx, self.x, self.x), self.centred(self.yy, self.y, self.y));
        (vx > 0.0 && vy > 0.0).then(|| (covariance / (vx.sqrt() * vy.sqrt())).clamp(-1.0, 1.0))
    }

    /// n times the sum of products less the product of the sums.
    fn centred(&self, products: i128, x: i128, y: i128) -> f64 {
        match (self.count.checked_mul(products), x.checked_mul(y)) {
            (Some(a), Some(b)) => (a - b) as f64,
            _ => self.count as f64 * products as f64 - x as f64 * y as f64,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(u64, u64)]) -> Option<f64> {
        let mut pearson = Pearson::default();
        pairs.iter().for_each(|&(x, y)| pearson.record(x, y));
        pearson.correlation()
    }

    #[test]
    fn lines_correlate_fully_and_constants_not_at_all() {
        assert_eq!(of(&[(1, 10), (2, 20), (3, 30)]), Some(1.0));
        assert_eq!(of(&[(1, 30), (2, 20), (3, 10)]), Some(-1.0));
        assert_eq!(of(&[(1, 5), (2, 5)]), None);
        assert_eq!(of(&[]), None);
    }

    #[test]
    fn a_known_sample_has_its_known_correlation() {
        // numpy.corrcoef([1, 2, 3, 4, 5], [2, 1, 4, 3, 7])[0, 1]
        let found = of(&[(1, 2), (2, 1), (3, 4), (4, 3), (5, 7)]).unwrap();
        assert!((found - 0.824_163_383_692_134_2).abs() < 1e-15, "{found}");
    }
}
