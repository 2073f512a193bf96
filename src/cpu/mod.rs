//! Batch normalization on the processor, with all its cores: what the GPU is compared with.
//!
//! The numerics are those of the shaders. Values are summed in f32 lanes, in blocks, as deviations from a center near
//! the mean; blocks are merged by Chan's formula; the mean is kept in two parts, `hi = f32(mean)` and the remainder
//! `lo`, and
//!
//! ```text
//! y = (x - hi) * s + t        s = gamma * invstd        t = beta - lo * s
//! ```
//!
//! before residual and activation, so that a mean of a million with a deviation of a hundredth loses nothing. Only per block, not per value, is
//! there f64. Blocks are cut by the shape alone: the same input gives the same bits on any number of threads, which
//! are those of the rayon pool that the call is made in. A call from outside of the pool waits until one of its threads has
//! woken up, which is much of the time where tensors are small: `rayon::ThreadPoolBuilder::use_current_thread` makes the
//! caller's thread one of them.
//!
//! Vectors are those that the processor is found to have, AVX2 among them. They change the speed and not a bit: values go
//! to the same eight lanes everywhere, and no two operations are fused.
//!
//! Squares of deviations are f32: values further than about 1e18 from their mean overflow.
//!
//! ```
//! use wgpu_batchnorm::{Inference, Shape, cpu};
//!
//! let shape = Shape::channels_first(&[1, 2, 2])?;
//! let options = Inference::default().epsilon(0.0).gamma(false).beta(false);
//! let mut y = [0.0; 4];
//! cpu::inference(
//!     &[1.0, 2.0, 3.0, 4.0],
//!     None,
//!     &mut y,
//!     shape,
//!     cpu::Parameters::default(),
//!     &[1.0, 3.0],
//!     &[1.0, 4.0],
//!     &options,
//! )?;
//! assert_eq!(y, [0.0, 1.0, 0.0, 0.5]);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```

#![allow(
    clippy::inline_always,
    reason = "a function that is not inlined is compiled without the vectors of its caller"
)]

/// Does the work with the widest vectors that this processor has, for which it is compiled several times. What the work calls
/// is to be inlined, closures too: else it is compiled once, for any processor.
macro_rules! vectorized {
    ($simd:ident => $work:expr) => {
        fearless_simd::dispatch!(fearless_simd::Level::new(), $simd => $work)
    };
}

mod activation;
mod backward;
mod block;
mod columns;
mod rows;
mod state;
#[cfg(test)]
mod tests;
mod textbook;

use crate::activation::Activation;
use crate::error::HostError;
use crate::options::{Inference, Training};
use crate::reference::Moments;
use crate::shape::Shape;

pub use crate::reference::{FixedStatistics, Parameters};
pub use backward::backward;
pub use state::{GradientsMut, NormalizedBy, RunningMut, Saved, SavedMut};
pub use textbook::{textbook_backward, textbook_inference, textbook_training};

use block::Coefficients;
use state::{check_inference, check_training, inverse_deviation, write_state};

/// Rows of at least this many contiguous values are walked along; below, whole slices are walked across, a lane for
/// each column.
const LONG_ROW: u64 = 32;

/// A training step in the forward direction: `y` becomes `x` normalized by the statistics of `x`, the residual added and
/// the activation applied. `x`, the residual and `y` are of this shape.
///
/// `running` is moved and `saved` is written, each given where the options ask for it. An empty batch changes nothing.
/// [`Training::tuning`] has no meaning here.
///
/// ```
/// use wgpu_batchnorm::{Shape, Training, cpu};
///
/// let shape = Shape::channels_last(&[2, 2])?;
/// let options = Training::default().epsilon(0.0).saved(false);
/// let (gamma, beta) = ([2.0, 1.0], [0.0, 1.0]);
/// let (mut mean, mut variance, mut batches) = ([0.0; 2], [1.0; 2], [0; 2]);
/// let running = cpu::RunningMut { mean: &mut mean, variance: &mut variance, batches: &mut batches };
/// let mut y = [0.0; 4];
/// let parameters = cpu::Parameters::new(&gamma, &beta);
/// cpu::training(&[1.0, 10.0, 3.0, 30.0], None, &mut y, shape, parameters, &options, Some(running), None)?;
/// assert_eq!(y, [-2.0, 0.0, 2.0, 2.0]);
/// assert_eq!((mean, batches), ([0.2, 2.0], [1, 1])); // a tenth of the batch's mean
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HostError::Length`] where a slice does not fit the shape; [`HostError::Missing`] or [`HostError::Unexpected`]
/// where the options and what is given disagree; [`HostError::Epsilon`], [`HostError::Slope`],
/// [`HostError::UpdateFactor`]; [`HostError::SingleValue`] for one value per channel where the running variance is
/// unbiased; [`HostError::DeviceOnly`] for an element other than f32 and for a mask. Nothing is written then.
pub fn training(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Training,
    mut running: Option<RunningMut<'_>>,
    mut saved: Option<SavedMut<'_>>,
) -> Result<(), HostError> {
    check_training(
        x,
        residual,
        y,
        shape,
        parameters,
        options,
        running.as_ref(),
        saved.as_ref(),
    )?;
    if shape.is_empty() {
        return Ok(());
    }
    let coefficients = |channel: usize, moments: &Moments| {
        let invstd = inverse_deviation(moments.variance(), options.epsilon);
        Coefficients::new(moments.mean, invstd, parameters, channel)
    };
    let activation = options.activation;
    // Inside the pool from here on: to wake it up for every stage takes longer than a stage of a small tensor.
    let moments = rayon::scope(|_| {
        if shape.inner() >= LONG_ROW
            && let Some(geometry) = rows::Geometry::resident(shape, 1)
        {
            rows::training(x, residual, y, &geometry, coefficients, activation)
        } else {
            let moments = statistics(x, shape);
            let coefficients: Vec<Coefficients> = (moments.iter().enumerate())
                .map(|(channel, moments)| coefficients(channel, moments))
                .collect();
            normalize(x, residual, y, shape, &coefficients, activation);
            moments
        }
    });
    write_state(&moments, options, running.as_mut(), saved.as_mut());
    Ok(())
}

/// Inference: `y` becomes `x` normalized by a given mean and variance per channel, the residual added and the activation
/// applied. `x`, the residual and `y` are of this shape.
///
/// # Errors
/// As [`training`], but for those of the running statistics.
pub fn inference(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    parameters: Parameters<'_>,
    mean: &[f32],
    variance: &[f32],
    options: &Inference,
) -> Result<(), HostError> {
    let fixed = FixedStatistics { mean, variance };
    check_inference(x, residual, y, shape, parameters, fixed, options)?;
    if shape.is_empty() {
        return Ok(());
    }
    let coefficients: Vec<Coefficients> = (mean.iter().zip(variance).enumerate())
        .map(|(channel, (&mean, &variance))| {
            let invstd = inverse_deviation(f64::from(variance), options.epsilon);
            Coefficients::new(f64::from(mean), invstd, parameters, channel)
        })
        .collect();
    normalize(x, residual, y, shape, &coefficients, options.activation);
    Ok(())
}

/// The moments of each channel of a tensor that is not empty.
fn statistics(x: &[f32], shape: Shape) -> Vec<Moments> {
    if shape.inner() >= LONG_ROW {
        rows::statistics(x, shape)
    } else {
        columns::statistics(x, shape)
    }
}

/// The forward pass from its coefficients on.
fn normalize(
    x: &[f32],
    residual: Option<&[f32]>,
    y: &mut [f32],
    shape: Shape,
    coefficients: &[Coefficients],
    activation: Activation,
) {
    if shape.inner() >= LONG_ROW {
        rows::normalize(x, residual, y, shape, coefficients, activation);
    } else {
        columns::normalize(x, residual, y, shape, coefficients, activation);
    }
}
