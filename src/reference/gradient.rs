//! The backward pass: from the gradient of y to those of x, gamma, beta and the residual.

use rayon::prelude::*;

use super::statistics::channel_sums;
use super::{
    Finalized, FixedStatistics, Parameters, activation_gradient, check_activation, check_epsilon,
    check_length, check_presence, finalize, normalize, statistics,
};
use crate::activation::Activation;
use crate::error::{HostError, LengthError};
use crate::options::{Backward, Statistics};
use crate::shape::Shape;

/// Every gradient of a layer, in f64.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The gradient of x, in the order of x.
    pub input: Vec<f64>,
    /// The gradient of gamma, per channel: `sum(g * xhat)`.
    pub gamma: Vec<f64>,
    /// The gradient of beta, per channel: `sum(g)`.
    pub beta: Vec<f64>,
    /// The gradient of the residual, `g`, in the order of x.
    pub residual: Vec<f64>,
}

/// The backward pass by the formulas of [`Backward`]: `x` and `dy`, the gradient of y, of this shape.
///
/// With [`Statistics::Batch`] mean and variance are those of `x` itself, with [`Statistics::Fixed`] those of `fixed`.
/// The values of beta and of the residual are read where there is an activation, and may be left out where there is none.
///
/// All gradients are computed, whether or not the layer has a gamma, a beta or a residual: what becomes of them
/// ([`Gradient`](crate::Gradient)) is the caller's. [`Backward::element`], [`Backward::derivative`] and
/// [`Backward::tuning`] have no meaning here. An empty batch gives zeros for gamma and beta. A NaN or an infinity in `dy`
/// leaves no finite gradient of its channel with batch statistics, and with fixed ones none of its own element, gamma and
/// beta.
///
/// ```
/// use wgpu_batchnorm::{Backward, Shape, reference};
///
/// let shape = Shape::channels_last(&[4, 1])?;
/// let options = Backward::default().gamma(false).beta(false).epsilon(0.0);
/// let (x, dy) = ([1.0, 3.0, 1.0, 3.0], [1.0, 0.0, 0.0, 0.0]);
/// let parameters = reference::Parameters::default();
/// let gradients = reference::backward(&x, &dy, None, shape, parameters, None, &options)?;
/// assert_eq!((gradients.beta[0], gradients.gamma[0]), (1.0, -1.0));
/// assert_eq!(gradients.input, [0.5, 0.0, -0.5, 0.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HostError::Length`] where a slice does not fit the shape; [`HostError::Missing`] or [`HostError::Unexpected`] where
/// the options and what is given disagree; [`HostError::Epsilon`], [`HostError::Slope`].
pub fn backward(
    x: &[f32],
    dy: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    fixed: Option<FixedStatistics<'_>>,
    options: &Backward,
) -> Result<Gradients, HostError> {
    check_epsilon(options.epsilon)?;
    check_backward(residual, shape, parameters, options)?;
    let wanted = options.statistics == Statistics::Fixed;
    check_presence("mean and variance", wanted, fixed.is_some())?;

    let finalized = match fixed {
        Some(fixed) => fixed.finalize(parameters, options.epsilon)?,
        None => finalize(&statistics(x, shape)?, parameters, options.epsilon, None)?,
    };
    let g = gradient_preactivation(x, dy, residual, shape, &finalized, options.activation)?;
    let sums = gradient_sums(x, &g, shape, &finalized)?;
    let through = (options.statistics == Statistics::Batch).then_some(&sums[..]);
    Ok(Gradients {
        input: gradient_input(x, &g, shape, &finalized, through)?,
        gamma: sums.iter().map(|sums| sums.g_xhat).collect(),
        beta: sums.iter().map(|sums| sums.g).collect(),
        residual: g,
    })
}

/// Whether a backward pass is given what its options say there is.
pub(crate) fn check_backward(
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    options: &Backward,
) -> Result<(), HostError> {
    check_activation(options.activation)?;
    // What is read for the activation only.
    let check_activated = |what, there, given| {
        let read = options.activation != Activation::None;
        check_presence(what, there && (read || given), given)
    };
    check_presence("gamma", options.gamma, parameters.gamma.is_some())?;
    check_activated("beta", options.beta, parameters.beta.is_some())?;
    check_activated("a residual", options.residual, residual.is_some())?;
    parameters.check_lengths(shape.channels())?;
    if let Some(residual) = residual {
        check_length("residual", residual.len(), shape.len())?;
    }
    Ok(())
}

/// The gradient of `z = norm(x) + residual`: `g = dy * activation'(z)`, which is that of the residual too.
///
/// # Errors
/// Where a tensor does not have the shape's number of values, or a vector not one value per channel.
pub fn gradient_preactivation(
    x: &[f32],
    dy: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    finalized: &Finalized,
    activation: Activation,
) -> Result<Vec<f64>, LengthError> {
    check_length("dy", dy.len(), shape.len())?;
    let Finalized {
        mean, scale, shift, ..
    } = finalized;
    let mut g = normalize(x, residual, shape, mean, scale, shift)?;
    g.par_iter_mut().zip(dy).for_each(|(z, &dy)| {
        *z = activation_gradient(activation, *z, f64::from(dy));
    });
    Ok(g)
}

/// The sums of one channel that its gradients need. The default is that of no values.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct GradientSums {
    /// The number of values summed.
    pub count: u64,
    /// `sum(g)`: the gradient of beta.
    pub g: f64,
    /// `sum(g * xhat)`, with `xhat = (x - mean) * invstd`: the gradient of gamma.
    pub g_xhat: f64,
}

impl GradientSums {
    /// The sums over both sets, as where a batch is spread over several devices.
    ///
    /// ```
    /// use wgpu_batchnorm::reference::GradientSums;
    ///
    /// let a = GradientSums { count: 2, g: 1.0, g_xhat: 0.5 };
    /// let b = GradientSums { count: 3, g: 2.0, g_xhat: -1.0 };
    /// assert_eq!(a.merge(b), GradientSums { count: 5, g: 3.0, g_xhat: -0.5 });
    /// ```
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        Self {
            count: self.count + other.count,
            g: self.g + other.g,
            g_xhat: self.g_xhat + other.g_xhat,
        }
    }
}

/// The sums of each channel over `g`, the result of [`gradient_preactivation`]; zeros for an empty tensor.
///
/// # Errors
/// As [`gradient_preactivation`].
pub fn gradient_sums(
    x: &[f32],
    g: &[f64],
    shape: Shape,
    finalized: &Finalized,
) -> Result<Vec<GradientSums>, LengthError> {
    check_gradient(x, g, shape, finalized)?;
    if x.is_empty() {
        return Ok(vec![GradientSums::default(); shape.channels() as usize]);
    }
    let count = shape.values_per_channel();
    let sums = channel_sums(shape, |_, index| g[index]);
    let products = channel_sums(shape, |channel, index| {
        g[index] * finalized.xhat(channel, x[index])
    });
    Ok((sums.into_iter().zip(products))
        .map(|(g, g_xhat)| GradientSums { count, g, g_xhat })
        .collect())
}

/// The gradient of x from `g`, the result of [`gradient_preactivation`]. With `sums`, through batch statistics:
///
/// ```text
/// dx = gamma * invstd * (g - sum(g) / n - xhat * sum(g * xhat) / n)
/// ```
///
/// with the sums and the count of values of the whole batch, of which `x` may be a part. Without, through fixed
/// statistics: `dx = gamma * invstd * g`.
///
/// # Errors
/// As [`gradient_preactivation`].
pub fn gradient_input(
    x: &[f32],
    g: &[f64],
    shape: Shape,
    finalized: &Finalized,
    sums: Option<&[GradientSums]>,
) -> Result<Vec<f64>, LengthError> {
    check_gradient(x, g, shape, finalized)?;
    if let Some(sums) = sums {
        check_length("sums", sums.len(), shape.channels())?;
    }
    let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
    Ok(x.par_iter()
        .zip(g)
        .enumerate()
        .map(|(index, (&x, &g))| {
            let channel = index / inner % channels;
            let g = match sums {
                Some(sums) => {
                    let GradientSums {
                        count,
                        g: sum,
                        g_xhat,
                    } = sums[channel];
                    let n = count as f64;
                    g - sum / n - finalized.xhat(channel, x) * g_xhat / n
                }
                None => g,
            };
            finalized.scale[channel] * g
        })
        .collect())
}

fn check_gradient(
    x: &[f32],
    g: &[f64],
    shape: Shape,
    finalized: &Finalized,
) -> Result<(), LengthError> {
    check_length("x", x.len(), shape.len())?;
    check_length("g", g.len(), shape.len())?;
    let Finalized {
        mean,
        invstd,
        scale,
        ..
    } = finalized;
    for (what, vector) in [("mean", mean), ("invstd", invstd), ("scale", scale)] {
        check_length(what, vector.len(), shape.channels())?;
    }
    Ok(())
}
