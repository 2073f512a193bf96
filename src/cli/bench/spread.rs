//! Many measurements of one thing in three numbers.

/// The middle of some measurements, and how far they lie apart.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Spread {
    /// A quarter of the measurements is at most this.
    pub first_quartile: f64,
    /// Half of them are.
    pub median: f64,
    /// Three quarters of them are.
    pub third_quartile: f64,
}

impl Spread {
    /// Of at least one measurement; `None` where there is none. Between two measurements quartiles are interpolated, as
    /// numpy and R do by default (definition 7 of Hyndman and Fan, 1996).
    pub fn of(mut values: Vec<f64>) -> Option<Self> {
        values.sort_by(f64::total_cmp);
        let last = values.len().checked_sub(1)?;
        let at = |share: f64| {
            let place = share * last as f64;
            let below = place.floor() as usize;
            let above = (below + 1).min(last);
            values[below] + (place - place.floor()) * (values[above] - values[below])
        };
        Some(Self {
            first_quartile: at(0.25),
            median: at(0.5),
            third_quartile: at(0.75),
        })
    }

    /// The same in another unit.
    pub fn scaled(self, factor: f64) -> Self {
        Self {
            first_quartile: factor * self.first_quartile,
            median: factor * self.median,
            third_quartile: factor * self.third_quartile,
        }
    }

    /// Half of what lies between the quartiles, as a share of the median.
    pub fn relative(self) -> f64 {
        (self.third_quartile - self.first_quartile) / (2.0 * self.median)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(values: &[f64]) -> [f64; 3] {
        let spread = Spread::of(values.to_vec()).expect("there are values");
        [spread.first_quartile, spread.median, spread.third_quartile]
    }

    #[test]
    fn quartiles_are_those_of_numpy() {
        // numpy.percentile(values, [25, 50, 75])
        assert_eq!(numbers(&[7.0]), [7.0, 7.0, 7.0]);
        assert_eq!(numbers(&[3.0, 1.0, 2.0]), [1.5, 2.0, 2.5]);
        assert_eq!(numbers(&[4.0, 1.0, 2.0, 3.0]), [1.75, 2.5, 3.25]);
        assert_eq!(numbers(&[5.0, 1.0, 2.0, 4.0, 3.0]), [2.0, 3.0, 4.0]);
        assert_eq!(Spread::of(Vec::new()), None);
    }

    #[test]
    fn the_relative_spread_has_no_unit() {
        let spread = Spread::of(vec![1.0, 2.0, 3.0, 4.0, 5.0]).expect("there are values");
        assert_eq!(spread.relative(), 1.0 / 3.0);
        assert_eq!(spread.scaled(1e3).relative(), spread.relative());
    }
}
