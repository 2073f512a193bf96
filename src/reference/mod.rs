//! What the shaders must agree with: every stage in f64, written plainly from the formulas.
//!
//! ```text
//! mean = sum(x) / n        var = sum((x - mean)^2) / n        invstd = 1 / sqrt(var + epsilon)
//! y = activation((x - mean) * invstd * gamma + beta + residual)
//! ```
//!
//! The transform is Ioffe and Szegedy, "Batch Normalization" (2015), equations 1 to 4. The stages carry the names of
//! the shaders, [`statistics`], [`finalize`] and [`normalize`], so that each can be compared alone; [`training`] and
//! [`inference`] are whole passes. So are [`gradient_preactivation`], [`gradient_sums`] and [`gradient_input`] the stages
//! of [`backward`].
//!
//! In training a NaN or an infinity makes its channel's results NaN and no other channel's; in inference it touches
//! its own element only. An epsilon of 0 with a variance of 0 gives NaN, as the formula does.
//!
//! ```
//! use wgpu_batchnorm::{Shape, Training, reference};
//!
//! let shape = Shape::channels_last(&[4, 1])?;
//! let options = Training::default().gamma(false).beta(false).running(None).epsilon(0.0);
//! let forward = reference::training(&[1.0, 3.0, 1.0, 3.0], None, shape, Default::default(), &options, None)?;
//! assert_eq!(forward.y, [-1.0, 1.0, -1.0, 1.0]);
//! assert_eq!((forward.mean[0], forward.variance[0]), (2.0, 1.0));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

mod activation;
mod finalize;
mod gradient;
#[cfg(test)]
mod gradient_tests;
mod normalize;
mod parameters;
mod statistics;
#[cfg(test)]
mod tests;

use rayon::prelude::*;

use crate::activation::Activation;
use crate::error::{HostError, LengthError};
use crate::options::{Inference, Training};
use crate::shape::Shape;

pub(crate) use activation::check_activation;
pub use activation::{activate, activation_gradient};
pub use finalize::{Finalized, FixedStatistics, RunningStatistics, finalize};
pub(crate) use finalize::{check_epsilon, check_running, update_factor};
pub(crate) use gradient::check_backward;
pub use gradient::{
    GradientSums, Gradients, backward, gradient_input, gradient_preactivation, gradient_sums,
};
pub use normalize::normalize;
pub use parameters::Parameters;
pub(crate) use parameters::check_presence;
pub use statistics::{Moments, statistics};

/// What a training step computes in the forward direction.
#[derive(Clone, Debug, PartialEq)]
pub struct Forward {
    /// The normalized tensor, residual and activation applied, in the order of the input.
    pub y: Vec<f64>,
    /// The batch's mean, per channel.
    pub mean: Vec<f64>,
    /// The batch's biased variance, per channel.
    pub variance: Vec<f64>,
    /// `1 / sqrt(variance + epsilon)`, per channel.
    pub invstd: Vec<f64>,
}

/// A training step: `x`, of this shape, normalized by its own statistics, the residual of the same shape added and the
/// activation applied; `running` moves by the rules of [`Training::running`].
///
/// [`Training::saved`], [`Training::mask`], [`Training::element`] and [`Training::tuning`] have no meaning here. An empty
/// batch gives an empty `y` and leaves `running` as it is.
///
/// # Errors
/// [`HostError::Length`] where a slice does not fit the shape; [`HostError::Missing`] or [`HostError::Unexpected`]
/// where the options and what is given disagree; [`HostError::Epsilon`], [`HostError::Slope`], [`HostError::UpdateFactor`];
/// [`HostError::SingleValue`] for one value per channel where the running variance is unbiased. `running` is then
/// unchanged.
pub fn training(
    x: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    running: Option<&mut RunningStatistics>,
) -> Result<Forward, HostError> {
    check_activation(options.activation)?;
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_residual(residual, shape, options.residual)?;
    check_presence(
        "running statistics",
        options.running.is_some(),
        running.is_some(),
    )?;
    let moments = statistics(x, shape)?;
    let running = running.zip(options.running.as_ref());
    let finalized = finalize(&moments, parameters, options.epsilon, running)?;
    let y = normalized(x, residual, shape, &finalized, options.activation)?;
    Ok(Forward {
        y,
        mean: finalized.mean,
        variance: finalized.variance,
        invstd: finalized.invstd,
    })
}

/// Inference: `x`, of this shape, normalized by a given mean and biased or unbiased variance per channel, the residual of
/// the same shape added and the activation applied.
///
/// # Errors
/// As [`training`], but for those of the running statistics.
pub fn inference(
    x: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<Vec<f64>, HostError> {
    check_activation(options.activation)?;
    parameters.check(shape.channels(), options.gamma, options.beta)?;
    check_residual(residual, shape, options.residual)?;
    check_length("mean", mean.len(), shape.channels())?;
    let fixed = FixedStatistics { mean, variance };
    let finalized = fixed.finalize(parameters, options.epsilon)?;
    let y = normalized(x, residual, shape, &finalized, options.activation)?;
    Ok(y)
}

/// The forward pass from its coefficients on.
fn normalized(
    x: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    finalized: &Finalized,
    activation: Activation,
) -> Result<Vec<f64>, LengthError> {
    let Finalized {
        mean, scale, shift, ..
    } = finalized;
    let mut y = normalize(x, residual, shape, mean, scale, shift)?;
    y.par_iter_mut().for_each(|y| *y = activate(activation, *y));
    Ok(y)
}

/// Whether there is a residual where the options say so, and whether it fits.
pub(crate) fn check_residual(
    residual: Option<&[f32]>,
    shape: Shape,
    wanted: bool,
) -> Result<(), HostError> {
    check_presence("a residual", wanted, residual.is_some())?;
    if let Some(residual) = residual {
        check_length("residual", residual.len(), shape.len())?;
    }
    Ok(())
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
