//! Count, mean and sum of squared deviations of every channel, by two passes in f64.

use rayon::prelude::*;

use super::check_length;
use crate::error::LengthError;
use crate::shape::Shape;

/// Count, mean and sum of squared deviations from the mean: what a set of values needs for its statistics to be
/// merged with another's. The default is the empty set.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Moments {
    /// The number of values.
    pub count: u64,
    /// Their mean; 0 for no values.
    pub mean: f64,
    /// `sum((x - mean)^2)`.
    pub m2: f64,
}

impl Moments {
    /// The moments of both sets together: Chan, Golub and LeVeque, "Updating formulae and a pairwise algorithm for
    /// computing sample variances" (1979), equations 2.1.
    ///
    /// ```
    /// use wgpu_batchnorm::reference::Moments;
    ///
    /// let ones = Moments { count: 2, mean: 1.0, m2: 0.0 };
    /// let threes = Moments { count: 2, mean: 3.0, m2: 0.0 };
    /// assert_eq!(ones.merge(threes), Moments { count: 4, mean: 2.0, m2: 4.0 });
    /// ```
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        if self.count == 0 {
            return other;
        }
        if other.count == 0 {
            return self;
        }
        let count = self.count + other.count;
        let share = other.count as f64 / count as f64;
        let delta = other.mean - self.mean;
        Self {
            count,
            mean: self.mean + delta * share,
            m2: self.m2 + other.m2 + delta * delta * self.count as f64 * share,
        }
    }

    /// The biased variance, `m2 / n`; 0 for no values.
    #[must_use]
    pub fn variance(&self) -> f64 {
        if self.count == 0 {
            0.0
        } else {
            self.m2 / self.count as f64
        }
    }

    /// The unbiased variance, `m2 / (n - 1)`; `None` below two values.
    #[must_use]
    pub fn unbiased_variance(&self) -> Option<f64> {
        (self.count > 1).then(|| self.m2 / (self.count - 1) as f64)
    }
}

/// The moments of each channel of `x`, by the definition: the mean first, then the deviations from it.
///
/// Sums are compensated, so that the result stays a reference for ten million values around a million. The same
/// input gives the same bits on any number of threads.
///
/// # Errors
/// Where `x` does not have the shape's number of values.
pub fn statistics(x: &[f32], shape: Shape) -> Result<Vec<Moments>, LengthError> {
    check_length("x", x.len(), shape.len())?;
    let channels = shape.channels() as usize;
    if x.is_empty() {
        return Ok(vec![Moments::default(); channels]);
    }
    let count = shape.values_per_channel();
    let mean: Vec<f64> = channel_sums(shape, |_, index| f64::from(x[index]))
        .into_iter()
        .map(|sum| sum / count as f64)
        .collect();
    let m2 = channel_sums(shape, |channel, index| {
        let deviation = f64::from(x[index]) - mean[channel];
        deviation * deviation
    });
    Ok(mean
        .iter()
        .zip(m2)
        .map(|(&mean, m2)| Moments { count, mean, m2 })
        .collect())
}

/// The number of slabs of outer slices that are summed in parallel: bounds the memory for the partial sums, and is
/// no function of the number of threads, so that the sums are none either.
const SLABS: usize = 32;

/// The sum of `term(channel, index)` over the values of each channel of a tensor that is not empty.
pub(super) fn channel_sums(shape: Shape, term: impl Fn(usize, usize) -> f64 + Sync) -> Vec<f64> {
    let channels = shape.channels() as usize;
    let (outer, inner) = (shape.outer() as usize, shape.inner() as usize);
    let slab = outer.div_ceil(SLABS);
    let partials: Vec<Vec<CompensatedSum>> = (0..outer.div_ceil(slab))
        .into_par_iter()
        .map(|index| {
            let mut sums = vec![CompensatedSum::default(); channels];
            for slice in index * slab..outer.min((index + 1) * slab) {
                for (channel, total) in sums.iter_mut().enumerate() {
                    let start = (slice * channels + channel) * inner;
                    let mut sum = *total;
                    for index in start..start + inner {
                        sum.add(term(channel, index));
                    }
                    *total = sum;
                }
            }
            sums
        })
        .collect();
    (0..channels)
        .map(|channel| {
            let mut total = CompensatedSum::default();
            for partial in &partials {
                total.add(partial[channel].sum);
                total.add(partial[channel].compensation);
            }
            total.value()
        })
        .collect()
}

/// A sum whose rounding errors are summed beside it: Neumaier, "Rundungsfehleranalyse einiger Verfahren zur Summation
/// endlicher Summen" (1974).
#[derive(Clone, Copy, Default)]
struct CompensatedSum {
    sum: f64,
    compensation: f64,
}

impl CompensatedSum {
    fn add(&mut self, value: f64) {
        let sum = self.sum + value;
        self.compensation += if self.sum.abs() >= value.abs() {
            (self.sum - sum) + value
        } else {
            (value - sum) + self.sum
        };
        self.sum = sum;
    }

    fn value(self) -> f64 {
        self.sum + self.compensation
    }
}
