//! What the shaders must agree with: every stage in f64, written plainly from the formulas.
//!
//! ```text
//! mean = sum(x) / n        var = sum((x - mean)^2) / n        invstd = 1 / sqrt(var + epsilon)
//! y = (x - mean) * invstd * gamma + beta
//! ```
//!
//! The transform is Ioffe and Szegedy, "Batch Normalization" (2015), equations 1 to 4. The stages carry the names of
//! the shaders, [`statistics`], [`finalize`] and [`normalize`], so that each can be compared alone; [`training`] and
//! [`inference`] are whole passes.
//!
//! In training a NaN or an infinity makes its channel's results NaN and no other channel's; in inference it touches
//! its own element only. An epsilon of 0 with a variance of 0 gives NaN, as the formula does.
//!
//! ```
//! use wgpu_batchnorm::{Shape, Training, reference};
//!
//! let shape = Shape::channels_last(&[4, 1])?;
//! let options = Training::default().gamma(false).beta(false).running(None).epsilon(0.0);
//! let forward = reference::training(&[1.0, 3.0, 1.0, 3.0], shape, Default::default(), &options, None)?;
//! assert_eq!(forward.y, [-1.0, 1.0, -1.0, 1.0]);
//! assert_eq!((forward.mean[0], forward.variance[0]), (2.0, 1.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod finalize;
mod normalize;
mod parameters;
mod statistics;
#[cfg(test)]
mod tests;

use crate::error::{HostError, LengthError};
use crate::options::{Inference, Training};
use crate::shape::Shape;

pub use finalize::{Finalized, RunningStatistics, finalize};
pub(crate) use finalize::{check_epsilon, check_running, update_factor};
pub use normalize::normalize;
pub use parameters::Parameters;
pub(crate) use parameters::check_presence;
pub use statistics::{Moments, statistics};

/// What a training step computes in the forward direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// The normalized tensor, in the order of the input.
    pub y: Vec<f64>,
    /// The batch's mean, per channel.
    pub mean: Vec<f64>,
    /// The batch's biased variance, per channel.
    pub variance: Vec<f64>,
    /// `1 / sqrt(variance + epsilon)`, per channel.
    pub invstd: Vec<f64>,
}

/// A training step: `x`, of this shape, normalized by its own statistics; `running` moves by the rules of
/// [`Training::running`].
///
/// [`Training::saved`] and [`Training::tuning`] have no meaning here. An empty batch gives an empty `y` and leaves
/// `running` as it is.
///
/// # Errors
/// [`HostError::Length`] where a slice does not fit the shape; [`HostError::Missing`] or [`HostError::Unexpected`]
/// where the options and what is given disagree; [`HostError::Epsilon`], [`HostError::UpdateFactor`];
/// [`HostError::SingleValue`] for one value per channel where the running variance is unbiased. `running` is then
/// unchanged.
pub fn training(
    x: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    running: Option<&mut RunningStatistics>,
) -> Result<Forward, HostError> {
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_presence(
        "running statistics",
        options.running.is_some(),
        running.is_some(),
    )?;
    let moments = statistics(x, shape)?;
    let running = running.zip(options.running.as_ref());
    let finalized = finalize(&moments, parameters, options.epsilon, running)?;
    let y = normalize(
        x,
        shape,
        &finalized.mean,
        &finalized.scale,
        &finalized.shift,
    )?;
    Ok(Forward {
        y,
        mean: finalized.mean,
        variance: finalized.variance,
        invstd: finalized.invstd,
    })
}

/// Inference: `x`, of this shape, normalized by a given mean and biased or unbiased variance per channel.
///
/// # Errors
/// As [`training`], but for those of the running statistics.
pub fn inference(
    x: &[f32],
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<Vec<f64>, HostError> {
    check_epsilon(options.epsilon)?;
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_length("variance", variance.len(), shape.channels())?;
    let mean: Vec<f64> = mean.iter().map(|&mean| f64::from(mean)).collect();
    let (scale, shift): (Vec<f64>, Vec<f64>) = variance
        .iter()
        .enumerate()
        .map(|(channel, &variance)| {
            let invstd = 1.0 / (f64::from(variance) + f64::from(options.epsilon)).sqrt();
            (parameters.gamma(channel) * invstd, parameters.beta(channel))
        })
        .unzip();
    Ok(normalize(x, shape, &mean, &scale, &shift)?)
}

/// Whether a slice has as many values as needed.
pub(crate) fn check_length(
    what: &'static str,
    given: usize,
    needed: u64,
) -> Result<(), LengthError> {
    if given as u64 == needed {
        Ok(())
    } else {
        Err(LengthError {
            what,
            given,
            needed,
        })
    }
}
