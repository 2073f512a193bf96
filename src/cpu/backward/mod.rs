//! The backward pass: two reads of x and dy, the first for the sums of each channel, the second for the gradient of x.
//!
//! ```text
//! sum(g), sum(g * (x - hi))        sum(g * xhat) = invstd * (sum(g * (x - hi)) - lo * sum(g))
//! dx = (g - center) * scale - (x - hi) * tilt + offset
//! ```
//!
//! with `scale = gamma * invstd`, `tilt = scale * invstd * sum(g * xhat) / n`, the center the mean of g rounded to f32, and
//! the offset what rounding took from the means of g and of x.

mod columns;
mod rows;

use std::ops::Range;

use fearless_simd::{Simd, f32x8};

use super::activation::{activation_gradient, add_residual};
use super::block::{Coefficients, map};
use super::rows::Geometry;
use super::state::{GradientsMut, NormalizedBy, check_gradients, inverse_deviation, split};
use super::{LONG_ROW, Parameters};
use crate::activation::Activation;
use crate::error::HostError;
use crate::options::{Backward, Gradient, Statistics};
use crate::shape::Shape;

/// The backward pass: the gradients of x, gamma, beta and the residual from `dy`, that of y. `x`, `dy` and the residual
/// are of this shape.
///
/// `normalized_by` is what the forward pass normalized by. Each of `gradients` is given where the options do not skip it, and
/// written or added to as they say. The values of beta and of the residual are read where there is an activation, and may be
/// left out where there is none; the gradients of gamma and beta are those of 1 and 0 where the layer has none. An empty batch
/// gives zeros for gamma and beta, which change nothing where they are added.
///
/// ```
/// use wgpu_batchnorm::{Backward, Gradient, Shape, cpu};
///
/// let shape = Shape::channels_last(&[2, 1])?;
/// let options = Backward::default().beta(false).grad_beta(Gradient::Skip);
/// let saved = cpu::Saved { mean: &[2.0], remainder: &[0.0], invstd: &[0.5] };
/// let (mut dx, mut dgamma) = ([0.0; 2], [0.0]);
/// cpu::backward(
///     &[1.0, 3.0],
///     &[1.0, 5.0],
///     None,
///     shape,
///     cpu::Parameters { gamma: Some(&[2.0]), beta: None },
///     cpu::NormalizedBy::Batch(saved),
///     &options,
///     cpu::GradientsMut { input: Some(&mut dx), gamma: Some(&mut dgamma), ..Default::default() },
/// )?;
/// assert_eq!((dx, dgamma), ([-1.5, 1.5], [2.0]));
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HostError::Length`] where a slice does not fit the shape; [`HostError::Missing`] or [`HostError::Unexpected`] where
/// the options and what is given disagree; [`HostError::NoGradient`] where every gradient is skipped; [`HostError::NoResidual`]
/// where the gradient of a residual is asked for that there is none of; [`HostError::Epsilon`], [`HostError::Slope`]; [`HostError::DeviceOnly`] for an element other than f32 and,
/// with an activation, for a derivative from anything but the input. Nothing is written then.
pub fn backward(
    x: &[f32],
    dy: &[f32],
    residual: Option<&[f32]>,
    shape: Shape,
    parameters: Parameters<'_>,
    normalized_by: NormalizedBy<'_>,
    options: &Backward,
    mut gradients: GradientsMut<'_>,
) -> Result<(), HostError> {
    check_gradients(
        x,
        dy,
        residual,
        shape,
        parameters,
        &normalized_by,
        options,
        &gradients,
    )?;
    if shape.is_empty() {
        write_parameters(
            &vec![ParameterGradients::default(); shape.channels() as usize],
            options,
            &mut gradients,
        );
        return Ok(());
    }
    let channels: Vec<Channel> = (0..shape.channels() as usize)
        .map(|channel| Channel::new(channel, parameters, &normalized_by, options.epsilon))
        .collect();
    let coefficients: Vec<Coefficients> = (channels.iter().enumerate())
        .map(|(index, channel)| Coefficients::new(channel.mean, channel.invstd, parameters, index))
        .collect();
    let flow = Flow {
        x,
        dy,
        residual,
        activation: options.activation,
    };

    let batch = options.statistics == Statistics::Batch;
    let summed = gradients.gamma.is_some()
        || gradients.beta.is_some()
        || (batch && gradients.input.is_some());
    let n = shape.values_per_channel() as f64;
    let slope = |index: usize, sums: Option<Sums>| {
        let channel = &channels[index];
        match sums {
            Some(sums) if batch => Slope::batch(channel, channel.parameter_gradients(sums), n),
            _ => Slope::fixed(channel),
        }
    };
    let to = Targets {
        input: gradients.input.take().map(|to| (to, options.grad_input)),
        residual: (gradients.residual.take()).map(|to| (to, options.grad_residual)),
        through_statistics: batch,
    };
    let written = to.input.is_some() || to.residual.is_some();
    let long = shape.inner() >= LONG_ROW;
    // Inside the pool: to wake it up for every stage takes longer than a stage of a small tensor.
    let sums = rayon::scope(|_| {
        if summed
            && written
            && long
            && let Some(geometry) = Geometry::resident(shape, 2)
        {
            rows::sums_and_gradients(&flow, to, &geometry, &coefficients, |channel, sums| {
                slope(channel, Some(sums))
            })
        } else {
            let sums = match (summed, long) {
                (false, _) => vec![],
                (true, true) => rows::sums(&flow, shape, &coefficients),
                (true, false) => columns::sums(&flow, shape, &coefficients),
            };
            if written {
                let slopes: Vec<Slope> = (0..channels.len())
                    .map(|index| slope(index, sums.get(index).copied()))
                    .collect();
                if long {
                    rows::gradients(&flow, to, shape, &coefficients, &slopes);
                } else {
                    columns::gradients(&flow, to, shape, &coefficients, &slopes);
                }
            }
            sums
        }
    });
    let of_parameters: Vec<ParameterGradients> = (channels.iter().zip(&sums))
        .map(|(channel, sums)| channel.parameter_gradients(*sums))
        .collect();
    write_parameters(&of_parameters, options, &mut gradients);
    Ok(())
}

/// A channel as the forward pass left it.
struct Channel {
    mean: f64,
    invstd: f64,
    gamma: f64,
}

impl Channel {
    fn new(
        index: usize,
        parameters: Parameters<'_>,
        normalized_by: &NormalizedBy<'_>,
        epsilon: f32,
    ) -> Self {
        let (mean, invstd) = match normalized_by {
            NormalizedBy::Batch(saved) => (
                f64::from(saved.mean[index]) + f64::from(saved.remainder[index]),
                f64::from(saved.invstd[index]),
            ),
            NormalizedBy::Fixed(fixed) => {
                let variance = f64::from(fixed.variance[index]);
                (
                    f64::from(fixed.mean[index]),
                    inverse_deviation(variance, epsilon),
                )
            }
        };
        Self {
            mean,
            invstd,
            gamma: parameters.gamma(index),
        }
    }

    fn parameter_gradients(&self, sums: Sums) -> ParameterGradients {
        let (_, lo) = split(self.mean);
        ParameterGradients {
            gamma: self.invstd * (sums.g_deviation - f64::from(lo) * sums.g),
            beta: sums.g,
        }
    }
}

/// The sums of one channel: of `g`, and of `g * (x - hi)`.
#[derive(Clone, Copy, Default)]
struct Sums {
    g: f64,
    g_deviation: f64,
}

impl Sums {
    fn merge(self, other: Self) -> Self {
        Self {
            g: self.g + other.g,
            g_deviation: self.g_deviation + other.g_deviation,
        }
    }
}

/// The gradients of gamma and beta of one channel.
#[derive(Clone, Copy, Default)]
struct ParameterGradients {
    gamma: f64,
    beta: f64,
}

/// What the gradient of x is made with: `dx = (g - center) * scale - (x - hi) * tilt + offset`, and `dx = g * scale` with
/// fixed statistics.
#[derive(Clone, Copy)]
struct Slope {
    center: f32,
    scale: f32,
    tilt: f32,
    offset: f32,
}

impl Slope {
    fn batch(channel: &Channel, sums: ParameterGradients, n: f64) -> Self {
        let (_, mean_lo) = split(channel.mean);
        let (center, center_lo) = split(sums.beta / n);
        let scale = channel.gamma * channel.invstd;
        let tilt = scale * channel.invstd * sums.gamma / n;
        Self {
            center,
            scale: scale as f32,
            tilt: tilt as f32,
            offset: (f64::from(mean_lo) * tilt - f64::from(center_lo) * scale) as f32,
        }
    }

    fn fixed(channel: &Channel) -> Self {
        Self {
            center: 0.0,
            scale: (channel.gamma * channel.invstd) as f32,
            tilt: 0.0,
            offset: 0.0,
        }
    }
}

/// What `g` is made from.
struct Flow<'a> {
    x: &'a [f32],
    dy: &'a [f32],
    residual: Option<&'a [f32]>,
    activation: Activation,
}

impl Flow<'_> {
    /// `g` of some neighbouring values; `normalize` normalizes values of x. Without an activation it is dy itself, else it
    /// is put into `g`.
    #[inline(always)]
    fn gradient<'b>(
        &'b self,
        range: Range<usize>,
        g: &'b mut [f32],
        normalize: impl FnOnce(&[f32], &mut [f32]),
    ) -> &'b [f32] {
        let dy = &self.dy[range.clone()];
        if self.activation == Activation::None {
            return dy;
        }
        let g = &mut g[..dy.len()];
        normalize(&self.x[range.clone()], g);
        let residual = self.residual.map(|residual| &residual[range]);
        add_residual(g, residual);
        activation_gradient(g, dy, self.activation);
        g
    }
}

/// The tensors to be written.
struct Targets<'a> {
    input: Option<(&'a mut [f32], Gradient)>,
    residual: Option<(&'a mut [f32], Gradient)>,
    /// Whether x has its part in the statistics.
    through_statistics: bool,
}

/// A part of the tensors to be written.
struct Piece<'a> {
    /// The index of its first value.
    start: usize,
    len: usize,
    input: Option<(&'a mut [f32], Gradient)>,
    residual: Option<(&'a mut [f32], Gradient)>,
}

impl<'a> Targets<'a> {
    /// The tensors, of `len` values, in pieces.
    fn pieces(self, len: usize, piece: usize) -> Vec<Piece<'a>> {
        let mut cut = [self.input, self.residual]
            .map(|target| target.map(|(values, gradient)| (values.chunks_mut(piece), gradient)));
        (0..len)
            .step_by(piece)
            .map(|start| {
                let [input, residual] = cut.each_mut().map(|target| {
                    let (chunks, gradient) = target.as_mut()?;
                    Some((chunks.next()?, *gradient))
                });
                Piece {
                    start,
                    len: piece.min(len - start),
                    input,
                    residual,
                }
            })
            .collect()
    }
}

/// Writes or adds to a row what `value` makes of the values of other rows.
#[inline(always)]
fn store_gradient<S: Simd, const ROWS: usize>(
    simd: S,
    to: &mut [f32],
    gradient: Gradient,
    rows: [&[f32]; ROWS],
    value: impl Fn([f32x8<S>; ROWS]) -> f32x8<S>,
) {
    match gradient {
        Gradient::Skip => (),
        Gradient::Write => map(
            simd,
            [to],
            [rows],
            #[inline(always)]
            |_, [values]| [value(values)],
        ),
        Gradient::Add => map(
            simd,
            [to],
            [rows],
            #[inline(always)]
            |[before], [values]| [before + value(values)],
        ),
    }
}

/// A gradient that is there already.
#[inline(always)]
fn store_values<S: Simd>(simd: S, to: &mut [f32], gradient: Gradient, g: &[f32]) {
    store_gradient(
        simd,
        to,
        gradient,
        [g],
        #[inline(always)]
        |[g]| g,
    );
}

fn write_parameters(
    of_channels: &[ParameterGradients],
    options: &Backward,
    gradients: &mut GradientsMut<'_>,
) {
    let write = |to: &mut [f32], gradient, of: fn(&ParameterGradients) -> f64| {
        for (to, channel) in to.iter_mut().zip(of_channels) {
            let before = if gradient == Gradient::Add {
                f64::from(*to)
            } else {
                0.0
            };
            *to = (before + of(channel)) as f32;
        }
    };
    if let Some(to) = &mut gradients.gamma {
        write(to, options.grad_gamma, |channel| channel.gamma);
    }
    if let Some(to) = &mut gradients.beta {
        write(to, options.grad_beta, |channel| channel.beta);
    }
}
