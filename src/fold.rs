//! Inference without the layer: batch normalization folded into the convolution or linear layer before it.

use crate::error::HostError;
use crate::reference::{FixedStatistics, Parameters, check_epsilon, check_length};
use crate::shape::Shape;

/// Weight and bias of a convolution or linear layer.
///
/// | layer | weight | shape |
/// |---|---|---|
/// | PyTorch, ONNX: linear, convolution (grouped too) | `[O, I, ...]` | `Shape::with_axis(sizes, 0)` |
/// | PyTorch, ONNX: transposed convolution | `[I, O / groups, ...]` | `Shape::with_axis(sizes, 1)`, and `groups` |
/// | Keras, flax: dense, convolution (grouped too) | `[..., I, O]` | `Shape::with_axis(sizes, -1)` |
/// | Keras: transposed convolution | `[..., O, I]` | `Shape::with_axis(sizes, -2)` |
/// | Keras: depthwise convolution | `[..., I, M]`, I M outputs | `Shape::with_axis` of `[..., I * M]` and -1 |
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Weights<'a> {
    /// The values of the weight.
    pub weight: &'a [f32],
    /// The weight's shape, whose channels are the outputs of the layer (of one group, where there are groups).
    pub shape: Shape,
    /// Groups of a transposed convolution whose weight has its outputs behind its inputs. Else 1: other grouped layers have
    /// all outputs on one axis.
    pub groups: u64,
    /// The bias, one value per output, where there is one.
    pub bias: Option<&'a [f32]>,
}

impl<'a> Weights<'a> {
    /// A weight of one group, without a bias.
    pub const fn new(weight: &'a [f32], shape: Shape) -> Self {
        Self {
            weight,
            shape,
            groups: 1,
            bias: None,
        }
    }

    /// Sets [`Weights::groups`].
    #[must_use]
    pub const fn groups(self, groups: u64) -> Self {
        Self { groups, ..self }
    }

    /// Sets [`Weights::bias`].
    #[must_use]
    pub const fn bias(self, bias: &'a [f32]) -> Self {
        Self {
            bias: Some(bias),
            ..self
        }
    }
}

/// Weight and bias of a layer that normalizes as well.
#[derive(Clone, Debug, PartialEq)]
pub struct Folded {
    /// The weight, in the order of the one given.
    pub weight: Vec<f32>,
    /// The bias, one value per output.
    pub bias: Vec<f32>,
}

/// Folds inference by given statistics into the layer right before it, so that at run time there is nothing left to do:
///
/// ```text
/// s = gamma / sqrt(variance + epsilon)        weight' = weight * s        bias' = (bias - mean) * s + beta
/// ```
///
/// per output, in f64, each result rounded once. Nothing may stand between the two layers; what follows the batch
/// normalization (a residual, an activation) follows the folded layer. A parameter that is not given is 1 (gamma) or 0
/// (beta).
///
/// ```
/// use wgpu_batchnorm::reference::{FixedStatistics, Parameters};
/// use wgpu_batchnorm::{Shape, Weights, fold_into};
///
/// // Two outputs of three inputs.
/// let weight = [1.0, 2.0, 3.0, 4.0, 5.0, 6.0];
/// let layer = Weights::new(&weight, Shape::with_axis(&[2, 3], 0)?).bias(&[0.5, 0.0]);
/// let running = FixedStatistics { mean: &[1.0, 2.0], variance: &[4.0, 0.25] };
/// let parameters = Parameters::new(&[1.0, 3.0], &[0.0, 10.0]);
/// let folded = fold_into(layer, parameters, running, 0.0)?;
/// assert_eq!(folded.weight, [0.5, 1.0, 1.5, 24.0, 30.0, 36.0]);
/// assert_eq!(folded.bias, [-0.25, -2.0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Errors
/// [`HostError::Groups`] where the weight's inputs cannot be cut into the groups; [`HostError::Length`] where the weight does
/// not fit its shape, or bias, a parameter or a statistic does not have one value per output; [`HostError::Epsilon`];
/// [`HostError::Variance`] where a variance and epsilon are not more than 0.
pub fn fold_into(
    layer: Weights<'_>,
    parameters: Parameters<'_>,
    statistics: FixedStatistics<'_>,
    epsilon: f32,
) -> Result<Folded, HostError> {
    let Weights {
        weight,
        shape,
        groups,
        bias,
    } = layer;
    check_epsilon(epsilon)?;
    let inputs = shape.outer();
    if groups == 0 || !inputs.is_multiple_of(groups) {
        return Err(HostError::Groups { groups, inputs });
    }
    let outputs = shape.channels().saturating_mul(groups);
    check_length("weight", weight.len(), shape.len())?;
    if let Some(bias) = bias {
        check_length("bias", bias.len(), outputs)?;
    }
    check_length("mean", statistics.mean.len(), outputs)?;
    let finalized = statistics.finalize(parameters, epsilon)?;
    for (channel, &variance) in statistics.variance.iter().enumerate() {
        // A NaN is not more than anything.
        let positive = f64::from(variance) + f64::from(epsilon) > 0.0;
        if !positive {
            return Err(HostError::Variance { channel, variance });
        }
    }

    let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
    let group = (inputs / groups) as usize * channels * inner;
    let scaled = |(index, &weight): (usize, &f32)| {
        let output = index / group * channels + index / inner % channels;
        (f64::from(weight) * finalized.scale[output]) as f32
    };
    let shifted = |output: usize| {
        let bias = bias.map_or(0.0, |bias| f64::from(bias[output]));
        let centered = bias - finalized.mean[output];
        (centered * finalized.scale[output] + finalized.shift[output]) as f32
    };
    Ok(Folded {
        weight: weight.iter().enumerate().map(scaled).collect(),
        bias: (0..outputs as usize).map(shifted).collect(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::LengthError;
    use crate::options::Inference;
    use crate::reference;

    const MEAN: [f32; 4] = [0.5, -1.0, 100.0, 0.0];
    const VARIANCE: [f32; 4] = [1.0, 4.0, 0.01, 9.0];
    const GAMMA: [f32; 4] = [1.0, -2.0, 0.5, 3.0];
    const BETA: [f32; 4] = [0.0, 1.0, -1.0, 0.25];
    const BIAS: [f32; 4] = [1.0, 2.0, 99.5, -4.0];

    fn statistics() -> FixedStatistics<'static> {
        FixedStatistics {
            mean: &MEAN,
            variance: &VARIANCE,
        }
    }

    fn values(len: usize) -> Vec<f32> {
        (0..len).map(|i| (i * 37 % 23) as f32 / 8.0 - 1.0).collect()
    }

    /// A linear layer of 3 inputs and 4 outputs, `weight(output, input)`, over some rows.
    fn linear(x: &[f32], weight: impl Fn(usize, usize) -> f32, bias: &[f32]) -> Vec<f64> {
        x.chunks(3)
            .flat_map(|x| {
                (0..4)
                    .map(|output| {
                        let products = (x.iter().enumerate())
                            .map(|(input, &x)| f64::from(weight(output, input)) * f64::from(x));
                        f64::from(bias[output]) + products.sum::<f64>()
                    })
                    .collect::<Vec<_>>()
            })
            .collect()
    }

    #[test]
    fn a_folded_linear_layer_is_the_layer_and_its_normalization() {
        let (x, weight) = (values(7 * 3), values(4 * 3));
        let parameters = Parameters::new(&GAMMA, &BETA);
        let epsilon = 1e-3;
        for (axis, sizes, bias) in [
            (0, [4, 3], &BIAS[..]),
            (1, [3, 4], &BIAS[..]),
            (0, [4, 3], &[0.0; 4][..]),
        ] {
            let of = |weight: &[f32], output: usize, input: usize| match axis {
                0 => weight[output * 3 + input],
                _ => weight[input * 4 + output],
            };
            let between = linear(&x, |output, input| of(&weight, output, input), bias);
            let between: Vec<f32> = between.iter().map(|&value| value as f32).collect();
            let shape = Shape::channels_last(&[7, 4]).expect("a small shape");
            let options = Inference::default().epsilon(epsilon);
            let wanted = reference::inference(
                &between, None, shape, parameters, &MEAN, &VARIANCE, &options,
            )
            .expect("all fits");

            let shape = Shape::with_axis(&sizes, axis).expect("a small shape");
            let layer = Weights {
                bias: (bias[0] != 0.0).then_some(bias),
                ..Weights::new(&weight, shape)
            };
            let folded = fold_into(layer, parameters, statistics(), epsilon).expect("all fits");
            let given = linear(
                &x,
                |output, input| of(&folded.weight, output, input),
                &folded.bias,
            );
            for (given, wanted) in given.iter().zip(wanted) {
                // Weights and bias are rounded to f32, and so is what is between the layers, 100 of deviation 0.1.
                assert!(
                    (given - wanted).abs() <= 1e-6 * wanted.abs().max(100.0),
                    "{given}, not {wanted}"
                );
            }
        }
    }

    /// What became of each value of a weight of ones: which output it belongs to.
    fn outputs(sizes: &[usize], axis: isize, groups: u64) -> Vec<f32> {
        let shape = Shape::with_axis(sizes, axis).expect("a small shape");
        let weight = vec![1.0; shape.len() as usize];
        let layer = Weights::new(&weight, shape).groups(groups);
        let gamma = [0.0, 1.0, 2.0, 3.0];
        let parameters = Parameters {
            gamma: Some(&gamma),
            beta: None,
        };
        let unit = FixedStatistics {
            mean: &[0.0; 4],
            variance: &[1.0; 4],
        };
        let folded = fold_into(layer, parameters, unit, 0.0).expect("all fits");
        assert_eq!(folded.bias, [0.0; 4]);
        folded.weight
    }

    #[test]
    fn every_layout_has_its_outputs_scaled() {
        // [O, I, k], [k, I, O], [k, O, I] and [I, O, k].
        let first = outputs(&[4, 1, 2], 0, 1);
        assert_eq!(first, [0.0, 0.0, 1.0, 1.0, 2.0, 2.0, 3.0, 3.0]);
        let last = outputs(&[1, 2, 4], -1, 1);
        assert_eq!(last, [0.0, 1.0, 2.0, 3.0, 0.0, 1.0, 2.0, 3.0]);
        let before_last = outputs(&[1, 4, 2], -2, 1);
        assert_eq!(before_last, first);
        assert_eq!(outputs(&[2, 4, 1], 1, 1), last);
        // [I, O / groups, k]: inputs 0 and 1 make outputs 0 and 1, inputs 2 and 3 make outputs 2 and 3.
        let grouped = outputs(&[4, 2, 1], 1, 2);
        assert_eq!(grouped, [0.0, 1.0, 0.0, 1.0, 2.0, 3.0, 2.0, 3.0]);
    }

    #[test]
    fn what_cannot_be_folded_is_a_typed_error() {
        let shape = Shape::with_axis(&[4, 3], 0).expect("a small shape");
        let (weight, none) = (values(12), Parameters::default());
        let fold = |layer, parameters, epsilon| {
            fold_into(layer, parameters, statistics(), epsilon).map(|_| ())
        };
        let layer = Weights::new(&weight, shape);
        let wrong = |what, given, needed| {
            Err(HostError::Length(LengthError {
                what,
                given,
                needed,
            }))
        };
        assert_eq!(
            fold(Weights::new(&weight[1..], shape), none, 0.0),
            wrong("weight", 11, 12)
        );
        assert_eq!(fold(layer.bias(&[0.0; 3]), none, 0.0), wrong("bias", 3, 4));
        let gamma = Parameters {
            gamma: Some(&[1.0; 5]),
            beta: None,
        };
        assert_eq!(fold(layer, gamma, 0.0), wrong("gamma", 5, 4));
        let inputs_first = Shape::with_axis(&[3, 4], 1).expect("a small shape");
        for (layer, groups, inputs) in [
            (layer, 2, 1),
            (layer, 0, 1),
            (Weights::new(&weight, inputs_first), 2, 3),
        ] {
            assert_eq!(
                fold(layer.groups(groups), none, 0.0),
                Err(HostError::Groups { groups, inputs })
            );
        }
        assert_eq!(
            fold(layer.groups(1), none, -1.0),
            Err(HostError::Epsilon { epsilon: -1.0 })
        );
        for variance in [0.0, -1.0, f32::NEG_INFINITY] {
            let variances = [1.0, 1.0, variance, 1.0];
            let statistics = FixedStatistics {
                mean: &MEAN,
                variance: &variances,
            };
            assert_eq!(
                fold_into(layer, none, statistics, 0.0),
                Err(HostError::Variance {
                    channel: 2,
                    variance
                })
            );
        }
    }
}
