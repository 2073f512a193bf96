//! Effects with their intervals, and what follows from them.

use serde::{Deserialize, Serialize};
use statrs::distribution::{ContinuousCDF, StudentsT};

/// A value that this share of the values is below, interpolated between its neighbours.
pub fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let Some(last) = sorted.len().checked_sub(1) else {
        return f64::NAN;
    };
    let at = share.clamp(0.0, 1.0) * last as f64;
    let (below, part) = (at.floor() as usize, at.fract());
    let above = (below + 1).min(last);
    if part == 0.0 {
        sorted[below]
    } else {
        sorted[below] * (1.0 - part) + sorted[above] * part
    }
}

/// The mean of values; NaN of none.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

/// A mean and its 95% confidence interval.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
pub struct Estimate {
    /// The mean.
    pub effect: f64,
    /// The ends of the interval.
    pub interval: [f64; 2],
}

impl Estimate {
    /// Of one value for each seed, by Student's t distribution. Of fewer than two values the interval is without ends.
    pub fn of(values: &[f64]) -> Self {
        let count = values.len() as f64;
        let effect = mean(values);
        let square = values
            .iter()
            .map(|value| (value - effect).powi(2))
            .sum::<f64>();
        let half = match StudentsT::new(0.0, 1.0, count - 1.0) {
            Ok(students) if count >= 2.0 => {
                students.inverse_cdf(0.975) * (square / (count - 1.0) / count).sqrt()
            }
            _ => f64::MAX,
        };
        Self {
            effect,
            interval: [effect - half, effect + half],
        }
    }

    /// Both ends and the mean through a function that rises.
    #[must_use]
    pub fn map(self, of: impl Fn(f64) -> f64) -> Self {
        Self {
            effect: of(self.effect),
            interval: self.interval.map(of),
        }
    }
}

/// What an interval says of a claim.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// All of the interval is on the side that the claim names, beyond the least effect that would matter.
    Supported,
    /// Some of the interval is on either side, or it does not reach the least effect.
    #[serde(rename = "not supported")]
    NotSupported,
    /// All of the interval is on the other side of no effect.
    Contradicted,
}

impl Verdict {
    /// Of an interval in which larger is more of what the claim says, none is no effect, and `least` is the least that would
    /// matter, at or above `none`.
    pub fn of(estimate: Estimate, none: f64, least: f64) -> Self {
        let [low, high] = estimate.interval;
        if low > least {
            Self::Supported
        } else if high < none {
            Self::Contradicted
        } else {
            Self::NotSupported
        }
    }

    /// In words.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Supported => "supported",
            Self::NotSupported => "not supported",
            Self::Contradicted => "contradicted",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_between_values() {
        let values = [4.0, 1.0, 3.0, 2.0, 5.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 1.0].map(|share| quantile(&values, share)),
            [1.0, 2.0, 3.0, 5.0]
        );
        assert_eq!(quantile(&[1.0, 2.0], 0.5), 1.5);
        assert!(quantile(&[], 0.5).is_nan());
    }

    /// Student (1908), the soporific effect of two drugs on ten patients, paired: mean 1.58, 95% interval 0.70 to 2.46 as in R's
    /// `t.test(extra ~ group, data = sleep, paired = TRUE)`.
    #[test]
    fn the_interval_is_that_of_students_own_data() {
        let differences = [1.2, 2.4, 1.3, 1.3, 0.0, 1.0, 1.8, 0.8, 4.6, 1.4];
        let estimate = Estimate::of(&differences);
        assert!((estimate.effect - 1.58).abs() < 1e-9);
        assert!((estimate.interval[0] - 0.700_114_2).abs() < 1e-5);
        assert!((estimate.interval[1] - 2.459_885_8).abs() < 1e-5);
        assert_eq!(Estimate::of(&[1.0]).interval, [-f64::MAX, f64::MAX]);
    }

    #[test]
    fn a_verdict_takes_the_whole_interval() {
        let verdict = |low, high| {
            let estimate = Estimate {
                effect: 0.0,
                interval: [low, high],
            };
            Verdict::of(estimate, 0.0, 0.5)
        };
        assert_eq!(verdict(0.6, 2.0), Verdict::Supported);
        assert_eq!(verdict(0.4, 2.0), Verdict::NotSupported);
        assert_eq!(verdict(-1.0, 1.0), Verdict::NotSupported);
        assert_eq!(verdict(-2.0, -1.0), Verdict::Contradicted);
        assert_eq!(verdict(f64::NAN, f64::NAN), Verdict::NotSupported);
    }
}
