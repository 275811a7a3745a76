//! Pearson correlations of the lengths of a request, from exact sums.

use serde::Serialize;

/// Correlations between -1 and 1; `None` where one of the two does not vary.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
#[non_exhaustive]
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

/// Sums of lengths and of their products, as whole numbers. Input length is context plus unique length,
/// so sums with it follow from the others.
#[derive(Clone, Default)]
struct Sums {
    count: i128,
    context: i128,
    unique: i128,
    output: i128,
    context_context: i128,
    unique_unique: i128,
    output_output: i128,
    context_unique: i128,
    context_output: i128,
    unique_output: i128,
}

impl Sums {
    #[inline]
    fn record(&mut self, context: u64, unique: u64, output: u64) {
        let product = |a: u64, b: u64| i128::from(a) * i128::from(b);
        self.count += 1;
        self.context += i128::from(context);
        self.unique += i128::from(unique);
        self.output += i128::from(output);
        self.context_context += product(context, context);
        self.unique_unique += product(unique, unique);
        self.output_output += product(output, output);
        self.context_unique += product(context, unique);
        self.context_output += product(context, output);
        self.unique_output += product(unique, output);
    }

    /// The correlation of two quantities by their sums, the sums of their squares, and that of their
    /// products; rounded once at the end as long as the products fit into 128 bits.
    fn pearson(&self, (x, xx): (i128, i128), (y, yy): (i128, i128), xy: i128) -> Option<f64> {
        let covariance = self.centred(xy, x, y);
        let (vx, vy) = (self.centred(xx, x, x), self.centred(yy, y, y));
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

/// Running correlations of the lengths of requests.
#[derive(Clone, Default)]
pub(super) struct Moments {
    /// Requests whose output length is known.
    with_output: Sums,
    without_output: Sums,
}

impl Moments {
    #[inline]
    pub(super) fn record(&mut self, context: u64, unique: u64, output: Option<u64>) {
        match output {
            Some(output) => self.with_output.record(context, unique, output),
            None => self.without_output.record(context, unique, 0),
        }
    }

    /// The correlations so far; those with the output length over the requests that have one.
    pub(super) fn correlations(&self) -> Correlations {
        let (o, w) = (&self.with_output, &self.without_output);
        let all = Sums {
            count: o.count + w.count,
            context: o.context + w.context,
            unique: o.unique + w.unique,
            context_context: o.context_context + w.context_context,
            unique_unique: o.unique_unique + w.unique_unique,
            context_unique: o.context_unique + w.context_unique,
            ..Sums::default()
        };
        let context = |s: &Sums| (s.context, s.context_context);
        let unique = |s: &Sums| (s.unique, s.unique_unique);
        let input =
            |s: &Sums| (s.context + s.unique, s.context_context + 2 * s.context_unique + s.unique_unique);
        let output = (o.output, o.output_output);
        let (ic, iu) = (all.context_context + all.context_unique, all.context_unique + all.unique_unique);
        Correlations {
            context_unique: all.pearson(context(&all), unique(&all), all.context_unique),
            input_context: all.pearson(input(&all), context(&all), ic),
            input_unique: all.pearson(input(&all), unique(&all), iu),
            context_output: o.pearson(context(o), output, o.context_output),
            unique_output: o.pearson(unique(o), output, o.unique_output),
            input_output: o.pearson(input(o), output, o.context_output + o.unique_output),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The correlations of context and unique length, of context and output length.
    fn of(pairs: &[(u64, u64)]) -> Option<f64> {
        let (mut lengths, mut outputs) = (Moments::default(), Moments::default());
        for &(x, y) in pairs {
            lengths.record(x, y, None);
            outputs.record(x, 7, Some(y));
        }
        assert_eq!(lengths.correlations().context_unique, outputs.correlations().context_output);
        lengths.correlations().context_unique
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
