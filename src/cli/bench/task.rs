//! What is computed: an operation of a layer on one input. Its tensors on the host, and what the reference makes of them.

use std::borrow::Cow;

use anyhow::{Context, Result};
use half::{bf16, f16};
use wgpu_batchnorm::cpu::{self, FixedStatistics, Saved, SavedMut};
use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{
    Activation, Backward, Element, Inference, Limits, Plan, PlanError, Shape, Training, Tuning,
    Tunings,
};

use super::computation::{Computation, Layer, Operation};
use super::expected::{Expected, Unit};
use super::workload::Workload;
use crate::cli::inputs::Random;

/// How far the normalized values before an activation may be from where its gradient jumps, for f32 and f64 to be on one
/// side of it.
const KINK: f32 = 1e-4;

/// The tensors that a layer is given, whatever it computes. What a tensor of the shape stores is rounded to its element.
#[derive(Clone, Debug)]
pub struct Input {
    /// The geometry of `x`.
    pub shape: Shape,
    /// What the layer is.
    pub layer: Layer,
    /// The input.
    pub x: Vec<f32>,
    /// What is added before the activation.
    pub residual: Option<Vec<f32>>,
    /// The factor of each channel.
    pub gamma: Vec<f32>,
    /// What is added to each channel.
    pub beta: Vec<f32>,
}

impl Input {
    /// The workload's own input, or random values where it has none.
    pub fn new(workload: &Workload, layer: Layer) -> Result<Self> {
        let shape = workload.sizes.shape(workload.layout)?;
        let len = usize::try_from(shape.len())
            .context("the tensor is larger than this machine's memory")?;
        let channels = shape.channels() as usize;
        let mut random = Random::new(50);
        // Activations as a network has them: neither centered nor of unit deviation.
        let mut draw = |mean: f64, deviation: f64| -> Vec<f32> {
            (0..len)
                .map(|_| (mean + deviation * random.normal()) as f32)
                .collect()
        };
        let mut x = match &workload.values {
            Some(values) => values.clone(),
            None => draw(0.5, 1.5),
        };
        round(&mut x, layer.element);
        let residual = layer.residual.then(|| {
            let mut residual = draw(0.0, 1.0);
            round(&mut residual, layer.element);
            residual
        });
        Ok(Self {
            shape,
            layer,
            x,
            residual,
            gamma: random.vector(channels, 0.5, 1.5),
            beta: random.vector(channels, -1.0, 1.0),
        })
    }

    /// A batch of so many copies of this one.
    pub fn repeated(&self, shape: Shape, times: usize) -> Self {
        Self {
            shape,
            x: self.x.repeat(times),
            residual: self.residual.as_ref().map(|values| values.repeat(times)),
            ..self.clone()
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            gamma: Some(&self.gamma),
            beta: Some(&self.beta),
        }
    }
}

/// What an operation needs beside the input.
#[derive(Clone, Debug)]
pub enum Given {
    /// Inference: the running statistics of a layer that has learned this input.
    Running {
        /// Per channel.
        mean: Vec<f32>,
        /// Per channel.
        variance: Vec<f32>,
    },
    /// Training: nothing. Its running statistics are those of a new layer.
    Nothing,
    /// Backward.
    Gradient {
        /// The gradient of y.
        dy: Vec<f32>,
        /// What the forward pass has saved, for the processor: mean, its remainder and inverse deviation. The device has
        /// saved its own.
        saved: [Vec<f32>; 3],
    },
}

/// Where the geometry of the kernels is from.
#[derive(Clone, Copy, Debug)]
pub enum By<'a> {
    /// What was measured on the adapter, where it was; the default for what was not.
    Measured(Option<&'a Tunings>),
    /// This one.
    Tuning(&'a Tuning),
}

/// An operation on an input.
#[derive(Clone, Debug)]
pub struct Task<'a> {
    /// The input.
    pub input: &'a Input,
    /// What is computed of it.
    pub operation: Operation,
    /// What that needs more.
    pub given: Cow<'a, Given>,
}

impl<'a> Task<'a> {
    /// Makes what the operation needs more.
    pub fn new(input: &'a Input, operation: Operation) -> Result<Self> {
        let given = match operation {
            Operation::Inference => {
                let moments = reference::statistics(&input.x, input.shape)?;
                Given::Running {
                    mean: moments.iter().map(|moments| moments.mean as f32).collect(),
                    variance: moments
                        .iter()
                        .map(|moments| moments.variance() as f32)
                        .collect(),
                }
            }
            Operation::Training => Given::Nothing,
            Operation::Backward => gradient(input)?,
        };
        Ok(Self {
            input,
            operation,
            given: Cow::Owned(given),
        })
    }

    /// What is computed.
    pub fn computation(&self) -> Computation {
        Computation {
            operation: self.operation,
            layer: self.input.layer,
        }
    }

    /// What this operation needs for a batch of so many copies of the input.
    pub fn given_repeated(&self, times: usize) -> Given {
        match &*self.given {
            Given::Gradient { dy, saved } => Given::Gradient {
                dy: dy.repeat(times),
                saved: saved.clone(),
            },
            given => given.clone(),
        }
    }

    /// The options of a forward pass that trains.
    pub fn training(&self) -> Training {
        let Layer {
            element,
            activation,
            residual,
        } = self.input.layer;
        Training::default()
            .element(element)
            .activation(activation)
            .residual(residual)
    }

    /// The options of one that infers.
    pub fn inference(&self) -> Inference {
        let Layer {
            element,
            activation,
            residual,
        } = self.input.layer;
        Inference::default()
            .element(element)
            .activation(activation)
            .residual(residual)
    }

    /// The options of a backward pass: of the training one, with every gradient.
    pub fn backward(&self) -> Backward {
        Backward::from(&self.training())
    }

    /// How the device computes it.
    pub fn plan(&self, limits: &Limits, by: By<'_>) -> Result<Plan, PlanError> {
        let (tuning, tunings) = match by {
            By::Tuning(tuning) => (Some(tuning.clone()), None),
            By::Measured(tunings) => (None, tunings.cloned()),
        };
        let shape = self.input.shape;
        let mut training = self.training().tunings(tunings.clone());
        training.tuning.clone_from(&tuning);
        match self.operation {
            Operation::Inference => {
                let mut inference = self.inference().tunings(tunings);
                inference.tuning = tuning;
                Plan::inference(limits, shape, &inference)
            }
            Operation::Training => Plan::training(limits, shape, &training),
            Operation::Backward => {
                // What a batch has no statistics for has no gradient through them.
                Plan::training(limits, shape, &self.training())?;
                Plan::backward(limits, shape, &Backward::from(&training))
            }
        }
    }

    /// Gamma and beta as the host's passes take them.
    pub fn parameters(&self) -> Parameters<'_> {
        self.input.parameters()
    }

    /// The tensors of the shape of x that are given, in the order of [`Tensors::inputs`](super::loaded::Tensors::inputs).
    pub fn tensors(&self) -> Vec<&[f32]> {
        let mut tensors = vec![&self.input.x[..]];
        // The backward pass reads it to find the gradient of an activation.
        if self.operation != Operation::Backward || self.input.layer.activation != Activation::None
        {
            tensors.extend(self.input.residual.as_deref());
        }
        if let Given::Gradient { dy, .. } = &*self.given {
            tensors.push(dy);
        }
        tensors
    }

    /// What the device should find, in the order of [`Tensors::results`](super::loaded::Tensors::results).
    pub fn expected(&self) -> Result<Vec<Expected>> {
        let Input {
            shape, x, residual, ..
        } = self.input;
        let (residual, parameters) = (residual.as_deref(), self.parameters());
        let layer = self.input.layer;
        Ok(match &*self.given {
            Given::Running { mean, variance } => {
                let options = self.inference();
                let y = reference::inference(
                    x, residual, *shape, parameters, mean, variance, &options,
                )?;
                vec![Expected::output(y, layer)]
            }
            Given::Nothing => {
                let mut running = RunningStatistics::new(shape.channels() as usize);
                let options = self.training();
                let forward = reference::training(
                    x,
                    residual,
                    *shape,
                    parameters,
                    &options,
                    Some(&mut running),
                )?;
                vec![
                    Expected::output(forward.y, layer),
                    Expected::new("running mean", running.mean, Unit::Value, Element::F32),
                    Expected::new(
                        "running variance",
                        running.variance,
                        Unit::Value,
                        Element::F32,
                    ),
                ]
            }
            Given::Gradient {
                dy,
                saved: [_, _, invstd],
            } => {
                let options = self.backward();
                let none: Option<FixedStatistics<'_>> = None;
                let exact =
                    reference::backward(x, dy, residual, *shape, parameters, none, &options)?;
                // Where a gradient is next to nothing, as that of x is for two values, its terms are what is rounded.
                let terms = largest(&exact.residual);
                let scales = self.input.gamma.iter().zip(invstd);
                let scale = scales.fold(0.0, |most: f64, (&gamma, &invstd)| {
                    most.max((f64::from(gamma) * f64::from(invstd)).abs())
                });
                let relative = |name, values: Vec<f64>, least: f64, element| {
                    let unit = Unit::Largest(largest(&values).max(least));
                    Expected::new(name, values, unit, element)
                };
                let mut expected = vec![
                    relative("dx", exact.input, scale * terms, layer.element),
                    relative("dgamma", exact.gamma, terms, Element::F32),
                    relative("dbeta", exact.beta, terms, Element::F32),
                ];
                if layer.residual {
                    let name = "the residual's gradient";
                    expected.push(relative(name, exact.residual, 0.0, layer.element));
                }
                expected
            }
        })
    }
}

fn largest(values: &[f64]) -> f64 {
    values
        .iter()
        .fold(0.0, |most: f64, value| most.max(value.abs()))
}

/// A gradient of y that pulls at gamma and beta as a loss does, so that the gradients of these are no sums that cancel.
fn gradient(input: &Input) -> Result<Given> {
    let channels = input.shape.channels() as usize;
    let mut saved = [0; 3].map(|_| vec![0.0; channels]);
    let mut xhat = vec![0.0; input.x.len()];
    let [mean, remainder, invstd] = &mut saved;
    let options = Training::default().gamma(false).beta(false).running(None);
    cpu::training(
        &input.x,
        None,
        &mut xhat,
        input.shape,
        Parameters::default(),
        &options,
        None,
        Some(SavedMut {
            mean,
            remainder,
            invstd,
        }),
    )?;
    let mut random = Random::new(51);
    let mut dy: Vec<f32> = xhat
        .iter()
        .map(|xhat| 0.25 + 0.25 * xhat + random.normal() as f32)
        .collect();
    let kinks: &[f32] = match input.layer.activation {
        Activation::Relu | Activation::LeakyRelu { .. } => &[0.0],
        Activation::Relu6 => &[0.0, 6.0],
        _ => &[],
    };
    if !kinks.is_empty() {
        let inner = input.shape.inner() as usize;
        for (index, (dy, xhat)) in dy.iter_mut().zip(&xhat).enumerate() {
            let channel = index / inner % channels;
            let added = input.residual.as_ref().map_or(0.0, |values| values[index]);
            let z = xhat * input.gamma[channel] + input.beta[channel] + added;
            if kinks.iter().any(|kink| (z - kink).abs() < KINK) {
                *dy = 0.0;
            }
        }
    }
    round(&mut dy, input.layer.element);
    Ok(Given::Gradient { dy, saved })
}

/// The saved statistics as the processor's backward pass takes them.
pub fn saved(of: &[Vec<f32>; 3]) -> Saved<'_> {
    let [mean, remainder, invstd] = of;
    Saved {
        mean,
        remainder,
        invstd,
    }
}

/// Values become those that an element stores for them.
fn round(values: &mut [f32], element: Element) {
    for value in values {
        *value = match element {
            Element::F32 => *value,
            Element::F16 => f16::from_f32(*value).to_f32(),
            Element::Bf16 => bf16::from_f32(*value).to_f32(),
        };
    }
}

/// Values as a tensor stores them, in whole words.
pub fn stored(values: &[f32], element: Element) -> Cow<'_, [u8]> {
    let mut bytes: Vec<u8> = match element {
        Element::F32 => return Cow::Borrowed(bytemuck::cast_slice(values)),
        Element::F16 => {
            let halves = values.iter().map(|&value| f16::from_f32(value));
            halves.flat_map(f16::to_ne_bytes).collect()
        }
        Element::Bf16 => {
            let halves = values.iter().map(|&value| bf16::from_f32(value));
            halves.flat_map(bf16::to_ne_bytes).collect()
        }
    };
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    Cow::Owned(bytes)
}

/// The first values of what a tensor stores.
pub fn values(bytes: &[u8], len: usize, element: Element) -> Vec<f32> {
    let halves = bytes.chunks_exact(2).map(|pair| [pair[0], pair[1]]);
    match element {
        Element::F32 => {
            let words = bytes.chunks_exact(4);
            let word = |word: &[u8]| f32::from_ne_bytes([word[0], word[1], word[2], word[3]]);
            words.map(word).take(len).collect()
        }
        Element::F16 => halves
            .map(|half| f16::from_ne_bytes(half).to_f32())
            .take(len)
            .collect(),
        Element::Bf16 => halves
            .map(|half| bf16::from_ne_bytes(half).to_f32())
            .take(len)
            .collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::size::{Layout, Sizes};

    fn input(sizes: &str, layer: Layer) -> Input {
        let sizes: Sizes = sizes.parse().expect("sizes");
        let workload = Workload::custom(sizes, Some(Layout::ChannelsFirst)).expect("a shape");
        Input::new(&workload, layer).expect("it fits")
    }

    #[test]
    fn what_is_stored_reads_back() {
        let given = [1.0f32, -2.5, 3.140_625];
        for element in Element::ALL {
            let bytes = stored(&given, element);
            assert!(bytes.len().is_multiple_of(4));
            assert_eq!(values(&bytes, 3, element), given, "{}", element.name());
        }
        for (element, nearest) in [
            (Element::F16, 0.099_975_586),
            (Element::Bf16, 0.100_097_656),
        ] {
            let mut tenth = [0.1];
            round(&mut tenth, element);
            assert_eq!(tenth, [nearest]);
            assert_eq!(values(&stored(&tenth, element), 1, element), tenth);
        }
    }

    #[test]
    fn gradients_of_gamma_and_beta_do_not_cancel() {
        let input = input("16x3x8x8", Layer::default());
        let task = Task::new(&input, Operation::Backward).expect("it can be computed");
        let expected = task.expected().expect("a reference");
        let names: Vec<_> = expected.iter().map(|tensor| tensor.name).collect();
        assert_eq!(names, ["dx", "dgamma", "dbeta"]);
        for tensor in &expected[1..] {
            assert!(tensor.values.iter().all(|sum| *sum > 100.0), "{tensor:?}");
        }
    }

    #[test]
    fn no_gradient_is_asked_for_where_an_activation_jumps() {
        let layer = Layer {
            activation: Activation::Relu6,
            residual: true,
            ..Layer::default()
        };
        let mut input = input("4x2x3x3", layer);
        // Such that the first values are at 0 and at 6.
        let plain = Layer::default();
        let forward = Task {
            input: &Input {
                layer: plain,
                residual: None,
                ..input.clone()
            },
            operation: Operation::Training,
            given: Cow::Owned(Given::Nothing),
        };
        let y = &forward.expected().expect("a reference")[0].values;
        let residual = input.residual.as_mut().expect("asked for");
        residual[0] = -y[0] as f32;
        residual[1] = (6.0 - y[1]) as f32;
        let task = Task::new(&input, Operation::Backward).expect("it can be computed");
        let Given::Gradient { dy, .. } = &*task.given else {
            panic!("a gradient is given");
        };
        assert_eq!(dy[..2], [0.0; 2]);
        assert!(dy[2..].iter().filter(|dy| **dy == 0.0).count() < 3);
        assert_eq!(task.expected().expect("a reference").len(), 4);
    }
}
