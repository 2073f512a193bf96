//! From moments to coefficients and running statistics.

use super::{Moments, Parameters, check_length};
use crate::error::{HostError, LengthError};
use crate::options::{Running, RunningVariance, Update};

/// Running statistics in f64: what the shaders' f32 state is compared with after any number of steps.
#[derive(Clone, Debug, PartialEq)]
pub struct RunningStatistics {
    /// The running mean, per channel.
    pub mean: Vec<f64>,
    /// The running variance, per channel.
    pub variance: Vec<f64>,
    /// The number of batches that each channel has seen.
    pub batches: Vec<u32>,
}

impl RunningStatistics {
    /// The state of a new layer: mean 0, variance 1, no batches.
    pub fn new(channels: usize) -> Self {
        Self {
            mean: vec![0.0; channels],
            variance: vec![1.0; channels],
            batches: vec![0; channels],
        }
    }

    /// The state that a device starts from.
    ///
    /// # Errors
    /// Where `variance` or `batches` is not as long as `mean`.
    pub fn from_f32(mean: &[f32], variance: &[f32], batches: &[u32]) -> Result<Self, LengthError> {
        let channels = mean.len() as u64;
        check_length("running variance", variance.len(), channels)?;
        check_length("running batches", batches.len(), channels)?;
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        Ok(Self {
            mean: wide(mean),
            variance: wide(variance),
            batches: batches.to_vec(),
        })
    }
}

/// What normalization needs of each channel.
#[derive(Clone, Debug, PartialEq)]
pub struct Finalized {
    /// The batch's mean.
    pub mean: Vec<f64>,
    /// The batch's biased variance.
    pub variance: Vec<f64>,
    /// `1 / sqrt(variance + epsilon)`.
    pub invstd: Vec<f64>,
    /// `gamma * invstd`.
    pub scale: Vec<f64>,
    /// `beta`: the mean is subtracted before, not folded in.
    pub shift: Vec<f64>,
}

impl Finalized {
    /// Of vectors of one length.
    fn new(mean: Vec<f64>, variance: Vec<f64>, parameters: Parameters<'_>, epsilon: f32) -> Self {
        let invstd: Vec<f64> = variance
            .iter()
            .map(|variance| 1.0 / (variance + f64::from(epsilon)).sqrt())
            .collect();
        Self {
            scale: (invstd.iter().enumerate())
                .map(|(index, invstd)| parameters.gamma(index) * invstd)
                .collect(),
            shift: (0..mean.len())
                .map(|index| parameters.beta(index))
                .collect(),
            mean,
            variance,
            invstd,
        }
    }

    /// A value of a channel, normalized.
    pub(super) fn xhat(&self, channel: usize, x: f32) -> f64 {
        (f64::from(x) - self.mean[channel]) * self.invstd[channel]
    }
}

/// Statistics that are given, running or fixed: one value per channel each.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct FixedStatistics<'a> {
    /// The mean.
    pub mean: &'a [f32],
    /// The variance, biased or unbiased.
    pub variance: &'a [f32],
}

impl FixedStatistics<'_> {
    /// Coefficients from given statistics: [`finalize`] of inference.
    ///
    /// # Errors
    /// [`HostError::Length`] where a vector is not as long as the mean; [`HostError::Epsilon`].
    pub fn finalize(
        &self,
        parameters: Parameters<'_>,
        epsilon: f32,
    ) -> Result<Finalized, HostError> {
        check_epsilon(epsilon)?;
        let channels = self.mean.len() as u64;
        check_length("variance", self.variance.len(), channels)?;
        parameters.check_lengths(channels)?;
        let wide = |values: &[f32]| values.iter().map(|&value| f64::from(value)).collect();
        let (mean, variance) = (wide(self.mean), wide(self.variance));
        Ok(Finalized::new(mean, variance, parameters, epsilon))
    }
}

/// Coefficients from the moments of each channel; moves the running statistics, where there are any, by
///
/// ```text
/// mean += f * (batch mean - mean)        variance += f * (batch variance - variance)
/// ```
///
/// with `f` and the kind of batch variance of [`Running`]. A channel without values leaves its running statistics and
/// its count of batches as they are.
///
/// # Errors
/// [`HostError::Length`] where a vector is not as long as `moments`; [`HostError::Epsilon`],
/// [`HostError::UpdateFactor`]; [`HostError::SingleValue`] for one value in a channel where the running variance is
/// unbiased. Nothing is changed then.
pub fn finalize(
    moments: &[Moments],
    parameters: Parameters<'_>,
    epsilon: f32,
    running: Option<(&mut RunningStatistics, &Running)>,
) -> Result<Finalized, HostError> {
    check_epsilon(epsilon)?;
    let channels = moments.len() as u64;
    parameters.check_lengths(channels)?;
    if let Some((statistics, rule)) = running {
        check_length("running mean", statistics.mean.len(), channels)?;
        check_length("running variance", statistics.variance.len(), channels)?;
        check_length("running batches", statistics.batches.len(), channels)?;
        for channel in moments {
            check_running(rule, channel.count)?;
        }
        for (index, channel) in moments.iter().enumerate() {
            if channel.count == 0 {
                continue;
            }
            let batches = statistics.batches[index].saturating_add(1);
            let factor = update_factor(rule.update, batches);
            let variance = match rule.variance {
                RunningVariance::Biased => channel.variance(),
                RunningVariance::Unbiased => {
                    channel.unbiased_variance().ok_or(HostError::SingleValue)?
                }
            };
            statistics.batches[index] = batches;
            statistics.mean[index] += factor * (channel.mean - statistics.mean[index]);
            statistics.variance[index] += factor * (variance - statistics.variance[index]);
        }
    }

    let mean = moments.iter().map(|channel| channel.mean).collect();
    let variance = moments.iter().map(Moments::variance).collect();
    Ok(Finalized::new(mean, variance, parameters, epsilon))
}

/// The share of the new batch, `batches` counting it.
pub(crate) fn update_factor(update: Update, batches: u32) -> f64 {
    match update {
        Update::Exponential(factor) => f64::from(factor),
        Update::Cumulative => 1.0 / f64::from(batches),
    }
}

pub(crate) fn check_epsilon(epsilon: f32) -> Result<(), HostError> {
    if epsilon.is_finite() && epsilon >= 0.0 {
        Ok(())
    } else {
        Err(HostError::Epsilon { epsilon })
    }
}

/// Whether a rule can serve channels of `count` values.
pub(crate) fn check_running(rule: &Running, count: u64) -> Result<(), HostError> {
    match rule.update {
        Update::Exponential(factor) if !(0.0..=1.0).contains(&factor) => {
            Err(HostError::UpdateFactor { factor })
        }
        _ if count == 1 && rule.variance == RunningVariance::Unbiased => {
            Err(HostError::SingleValue)
        }
        _ => Ok(()),
    }
}
