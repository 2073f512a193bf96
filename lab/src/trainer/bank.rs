//! A bank: networks of one architecture side by side, each with weights of its own.
//!
//! Activations are `[rows, members, units]`, so that batch norm sees one tensor with the channels of all members, and one
//! dispatch serves them all. Weights are `[members, inputs + 1, units]`; the last row is the bias, which is not there before
//! a batch norm.

use wgpu_batchnorm::{Activation as Fused, wgpu};

use super::kernels::{Kernel, lanes, one_per_member, tiles};
use super::norm::NormLayer;
use super::product::{Product, Strides};
use super::recorder::Work;
use super::{Statistics, Trainer};
use crate::Error;
use crate::random::{Stream, normal};
use crate::spec::{Activation, Loss, Member, Norm, Optimizer, Spec};

/// A linear layer of every member.
#[derive(Debug)]
pub(super) struct Linear {
    pub(super) inputs: u64,
    pub(super) outputs: u64,
    /// 0 or 1.
    pub(super) bias: u64,
    pub(super) weights: wgpu::Buffer,
    pub(super) gradients: wgpu::Buffer,
}

impl Linear {
    /// Values of one member.
    fn len(&self) -> u64 {
        (self.inputs + self.bias) * self.outputs
    }

    /// The weights as a matrix of `[inputs and bias, outputs]` for each member.
    fn matrix(&self) -> Strides {
        Strides {
            row: self.outputs,
            column: 1,
            member: self.len(),
        }
    }

    /// Of its inputs the one that is always one: that of the bias.
    fn ones(&self) -> Option<u64> {
        (self.bias == 1).then_some(self.inputs)
    }
}

/// The networks.
#[derive(Debug)]
pub(super) struct Bank {
    members: u64,
    activation: Activation,
    loss: Loss,
    /// Hidden layers, then that of the outputs.
    pub(super) linears: Vec<Linear>,
    /// Of the inputs.
    pub(super) input_norm: Option<NormLayer>,
    /// Of hidden layers.
    pub(super) norms: Vec<Option<NormLayer>>,
    /// Whether batch norm applies the activation.
    fused: bool,
}

/// Rows on their way through the networks.
#[derive(Debug)]
pub(super) struct Pass {
    pub(super) rows: u64,
    /// Turns of the schedule.
    pub(super) turns: u64,
    pub(super) clock: wgpu::Buffer,
    schedule: wgpu::Buffer,
    x: wgpu::Buffer,
    labels: wgpu::Buffer,
    /// The inputs, normalized.
    normalized_x: Option<wgpu::Buffer>,
    /// What linear layers give, the outputs last.
    linear: Vec<wgpu::Buffer>,
    /// What batch norm gives where it does not apply the activation.
    normalized: Vec<Option<wgpu::Buffer>>,
    active: Vec<wgpu::Buffer>,
    losses: wgpu::Buffer,
    grad_outputs: wgpu::Buffer,
    /// For each turn, or for all of them, and each member: the sum of losses and the number of rows that are right.
    pub(super) history: wgpu::Buffer,
    /// Turns whose sums are one.
    turns_of_a_sum: u64,
}

impl Pass {
    /// What the activation of a hidden layer is applied to.
    pub(super) fn before_activation(&self, hidden: usize) -> &wgpu::Buffer {
        self.normalized[hidden]
            .as_ref()
            .unwrap_or(&self.linear[hidden])
    }

    /// The outputs: `[rows, members, classes]`.
    pub(super) fn outputs(&self) -> &wgpu::Buffer {
        self.linear.last().expect("there is a layer of outputs")
    }
}

impl Bank {
    pub(super) fn new(
        trainer: &Trainer,
        spec: &Spec,
        inputs: usize,
        classes: usize,
    ) -> Result<Self, Error> {
        let gpu = &trainer.gpu;
        let members = spec.members.len() as u64;
        let architecture = &spec.architecture;
        let fused = architecture.activation == Activation::Relu && spec.watch.is_none();
        let applied = if fused { Fused::Relu } else { Fused::None };
        let sizes: Vec<u64> = std::iter::once(inputs as u64)
            .chain(architecture.hidden.iter().copied())
            .chain([classes as u64])
            .collect();
        let mut weights: Vec<_> = spec
            .members
            .iter()
            .map(|member| normal(member.seed, Stream::Weights))
            .collect();
        let mut linears = Vec::new();
        for (layer, size) in sizes.windows(2).enumerate() {
            let [inputs, outputs] = [size[0], size[1]];
            let is_hidden = layer < architecture.hidden.len();
            let bias = u64::from(!is_hidden || architecture.norm != Norm::Batch);
            let square = match architecture.activation {
                Activation::Relu if is_hidden => 2.0,
                _ => 1.0,
            };
            let deviation = (square / inputs as f64).sqrt();
            let mut values: Vec<f32> = Vec::new();
            for (member, weights) in spec.members.iter().zip(&mut weights) {
                let scale = (deviation * f64::from(member.gain)) as f32;
                values.extend(
                    weights
                        .by_ref()
                        .take((inputs * outputs) as usize)
                        .map(|value| value * scale),
                );
                values.resize(values.len() + (bias * outputs) as usize, 0.0);
            }
            linears.push(Linear {
                inputs,
                outputs,
                bias,
                weights: gpu.upload(&values, "weights")?,
                gradients: gpu.zeros(values.len() as u64, "gradients of weights")?,
            });
        }
        let norms = architecture.hidden.iter();
        let norms =
            norms.map(|units| NormLayer::new(trainer, architecture.norm, members * units, applied));
        Ok(Self {
            members,
            activation: architecture.activation,
            loss: spec.loss,
            norms: norms.collect::<Result<_, _>>()?,
            input_norm: NormLayer::new(
                trainer,
                architecture.input_norm,
                members * sizes[0],
                Fused::None,
            )?,
            linears,
            fused,
        })
    }

    /// Room for rows on their way, whose schedule is `[turns, members, rows]`.
    pub(super) fn pass(
        &self,
        trainer: &Trainer,
        rows: usize,
        schedule: &[u32],
        sums: u64,
    ) -> Result<Pass, Error> {
        let gpu = &trainer.gpu;
        let rows = rows as u64;
        let turns = schedule.len() as u64 / (rows * self.members).max(1);
        let tensor = |units: u64, label| gpu.zeros(rows * self.members * units, label);
        let hidden = self.linears.len() - 1;
        let inputs = self.linears[0].inputs;
        let classes = self.linears[hidden].outputs;
        let linear = self
            .linears
            .iter()
            .map(|linear| tensor(linear.outputs, "linear"));
        let normalized = self.norms.iter().zip(&self.linears).map(|(norm, linear)| {
            let apart = norm.is_some() && !self.fused;
            apart
                .then(|| tensor(linear.outputs, "normalized"))
                .transpose()
        });
        let active = self.linears[..hidden]
            .iter()
            .map(|linear| tensor(linear.outputs, "active"));
        let normalized_x = self
            .input_norm
            .as_ref()
            .map(|_| tensor(inputs, "normalized x"));
        Ok(Pass {
            rows,
            turns,
            clock: gpu.zeros(1, "clock")?,
            schedule: gpu.upload(schedule, "schedule")?,
            x: tensor(inputs, "x")?,
            labels: tensor(1, "labels")?,
            normalized_x: normalized_x.transpose()?,
            linear: linear.collect::<Result<_, _>>()?,
            normalized: normalized.collect::<Result<_, _>>()?,
            active: active.collect::<Result<_, _>>()?,
            losses: tensor(1, "losses")?,
            grad_outputs: tensor(classes, "gradient of outputs")?,
            history: gpu.zeros(2 * sums * self.members, "history")?,
            turns_of_a_sum: (turns / sums).max(1),
        })
    }

    /// The rows of the turn out of the table.
    pub(super) fn gather(
        &self,
        trainer: &Trainer,
        pass: &Pass,
        [table, classes]: [&wgpu::Buffer; 2],
    ) -> Result<Work, Error> {
        let inputs = self.linears[0].inputs;
        let parameters = [self.members, pass.rows, inputs, pass.turns].map(|value| value as u32);
        let buffers = [
            (1, &pass.clock),
            (2, &pass.schedule),
            (3, table),
            (4, classes),
            (5, &pass.x),
            (6, &pass.labels),
        ];
        let grid = lanes(pass.rows * self.members * inputs);
        Ok(Work::Own(trainer.shaders.bind(
            Kernel::Gather,
            &parameters,
            &buffers,
            grid,
        )?))
    }

    /// From the rows to the outputs, and their losses.
    pub(super) fn forward(
        &self,
        trainer: &Trainer,
        pass: &Pass,
        statistics: Statistics,
    ) -> Result<Vec<Work>, Error> {
        let mut works = Vec::new();
        let mut input = &pass.x;
        if let (Some(norm), Some(normalized)) = (&self.input_norm, &pass.normalized_x) {
            works.push(norm.forward(trainer, pass.rows, statistics, &pass.x, normalized)?);
            input = normalized;
        }
        for (layer, linear) in self.linears.iter().enumerate() {
            let output = &pass.linear[layer];
            works.push(self.linear(trainer, linear, pass.rows, input, output)?);
            let Some(norm) = self.norms.get(layer) else {
                break;
            };
            let active = &pass.active[layer];
            let mut before = output;
            if let Some(norm) = norm {
                let normalized = pass.normalized[layer].as_ref().unwrap_or(active);
                works.push(norm.forward(trainer, pass.rows, statistics, output, normalized)?);
                before = normalized;
            }
            if norm.is_none() || !self.fused {
                let len = pass.rows * self.members * linear.outputs;
                let parameters = [len as u32, self.activation_kind()];
                let buffers = [(1, before), (2, active)];
                works.push(Work::Own(trainer.shaders.bind(
                    Kernel::Activate,
                    &parameters,
                    &buffers,
                    lanes(len),
                )?));
            }
            input = active;
        }
        let kind = match self.loss {
            Loss::CrossEntropy => 0,
            Loss::MeanSquaredError => 1,
        };
        let buffers = [
            (1, pass.outputs()),
            (2, &pass.labels),
            (3, &pass.losses),
            (4, &pass.grad_outputs),
        ];
        let grid = lanes(pass.rows * self.members);
        let parameters = self.of_rows(pass, kind);
        works.push(Work::Own(trainer.shaders.bind(
            Kernel::Loss,
            &parameters,
            &buffers,
            grid,
        )?));
        Ok(works)
    }

    fn activation_kind(&self) -> u32 {
        match self.activation {
            Activation::Relu => 1,
            Activation::Sigmoid => 2,
            Activation::Tanh => 3,
        }
    }

    fn of_rows(&self, pass: &Pass, last: u32) -> [u32; 4] {
        let classes = self.linears[self.linears.len() - 1].outputs;
        [self.members as u32, pass.rows as u32, classes as u32, last]
    }

    /// Adds the losses and the right rows of the turn to the history.
    pub(super) fn summary(&self, trainer: &Trainer, pass: &Pass) -> Result<Work, Error> {
        let parameters = self.of_rows(pass, pass.turns_of_a_sum as u32);
        let buffers = [
            (1, &pass.clock),
            (2, pass.outputs()),
            (3, &pass.labels),
            (4, &pass.losses),
            (5, &pass.history),
        ];
        let grid = one_per_member(self.members);
        Ok(Work::Own(trainer.shaders.bind(
            Kernel::Summary,
            &parameters,
            &buffers,
            grid,
        )?))
    }

    /// The turn is over.
    pub(super) fn advance(trainer: &Trainer, pass: &Pass) -> Result<Work, Error> {
        let buffers = [(1, &pass.clock)];
        Ok(Work::Own(trainer.shaders.bind(
            Kernel::Advance,
            &[],
            &buffers,
            [1, 1, 1],
        )?))
    }

    /// `y = x w + b`.
    fn linear(
        &self,
        trainer: &Trainer,
        linear: &Linear,
        rows: u64,
        x: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Work, Error> {
        let product = Product {
            extents: [rows, linear.inputs + linear.bias, linear.outputs],
            ones: [None, linear.ones()],
            a: self.activations(linear.inputs),
            b: linear.matrix(),
            c: self.activations(linear.outputs),
        };
        self.product(trainer, product, [x, &linear.weights, y])
    }

    /// The gradient of the weights: x transposed times the gradient of y.
    fn weight_gradient(
        &self,
        trainer: &Trainer,
        linear: &Linear,
        rows: u64,
        x: &wgpu::Buffer,
        grad: &wgpu::Buffer,
    ) -> Result<Work, Error> {
        let product = Product {
            extents: [linear.inputs + linear.bias, rows, linear.outputs],
            ones: [linear.ones(), None],
            a: self.activations(linear.inputs).transposed(),
            b: self.activations(linear.outputs),
            c: linear.matrix(),
        };
        self.product(trainer, product, [x, grad, &linear.gradients])
    }

    /// The gradient of x: that of y times the weights transposed.
    fn input_gradient(
        &self,
        trainer: &Trainer,
        linear: &Linear,
        rows: u64,
        grad: &wgpu::Buffer,
        grad_x: &wgpu::Buffer,
    ) -> Result<Work, Error> {
        let product = Product {
            extents: [rows, linear.outputs, linear.inputs],
            ones: [None, None],
            a: self.activations(linear.outputs),
            b: linear.matrix().transposed(),
            c: self.activations(linear.inputs),
        };
        self.product(trainer, product, [grad, &linear.weights, grad_x])
    }

    /// A tensor of `[rows, members, units]`, as a matrix for each member.
    const fn activations(&self, units: u64) -> Strides {
        Strides {
            row: units * self.members,
            column: 1,
            member: units,
        }
    }

    fn product(
        &self,
        trainer: &Trainer,
        product: Product,
        [a, b, c]: [&wgpu::Buffer; 3],
    ) -> Result<Work, Error> {
        let [rows, _, columns] = product.extents;
        let buffers = [(1, a), (2, b), (3, c)];
        Ok(Work::Own(trainer.shaders.bind(
            Kernel::Product,
            &product.parameters(),
            &buffers,
            tiles(rows, columns, self.members),
        )?))
    }

    /// From the losses to the gradients of all that is trained, after a forward pass by the statistics of the batch.
    pub(super) fn backward(&self, trainer: &Trainer, pass: &Pass) -> Result<Vec<Work>, Error> {
        let mut works = Vec::new();
        let mut grad = pass.grad_outputs.clone();
        for (layer, linear) in self.linears.iter().enumerate().rev() {
            let hidden = layer.checked_sub(1);
            let input = match hidden {
                Some(hidden) => &pass.active[hidden],
                None => pass.normalized_x.as_ref().unwrap_or(&pass.x),
            };
            works.push(self.weight_gradient(trainer, linear, pass.rows, input, &grad)?);
            let norm = match hidden {
                Some(hidden) => self.norms[hidden].as_ref(),
                None => self.input_norm.as_ref(),
            };
            // Nothing before the first layer is trained but its norm.
            if hidden.is_none() && norm.is_none() {
                break;
            }
            let len = pass.rows * self.members * linear.inputs;
            let grad_input = trainer.gpu.zeros(len, "gradient")?;
            works.push(self.input_gradient(trainer, linear, pass.rows, &grad, &grad_input)?);
            if hidden.is_some() && (norm.is_none() || !self.fused) {
                let parameters = [len as u32, self.activation_kind()];
                let buffers = [(3, input), (4, &grad_input)];
                let kernel = Kernel::ActivationGradient;
                works.push(Work::Own(trainer.shaders.bind(
                    kernel,
                    &parameters,
                    &buffers,
                    lanes(len),
                )?));
            }
            if let Some(norm) = norm {
                let x = hidden.map_or(&pass.x, |hidden| &pass.linear[hidden]);
                works.push(norm.backward(trainer, pass.rows, x, &grad_input)?);
            }
            grad = grad_input;
        }
        Ok(works)
    }

    /// The norms of the gradients of the weights of each layer, without biases, as they are now: `[times, layers, members]`.
    pub(super) fn gradient_norms(
        &self,
        trainer: &Trainer,
        pass: &Pass,
        every: usize,
        norms: &wgpu::Buffer,
    ) -> Result<Vec<Work>, Error> {
        let layers = self.linears.len();
        let works = self.linears.iter().enumerate().map(|(layer, linear)| {
            let parameters = [
                (linear.inputs * linear.outputs) as u32,
                linear.len() as u32,
                layers as u32,
                layer as u32,
                every as u32,
            ];
            let buffers = [(1, &pass.clock), (2, &linear.gradients), (3, norms)];
            let grid = one_per_member(self.members);
            Ok(Work::Own(trainer.shaders.bind(
                Kernel::GradientNorm,
                &parameters,
                &buffers,
                grid,
            )?))
        });
        works.collect()
    }

    /// A step of the optimizer over all that is trained.
    pub(super) fn update(
        &self,
        trainer: &Trainer,
        pass: &Pass,
        optimizer: Optimizer,
        members: &[Member],
    ) -> Result<Vec<Work>, Error> {
        let rates: Vec<f32> = members.iter().map(|member| member.learning_rate).collect();
        let rates = trainer.gpu.upload(&rates, "learning rates")?;
        let (kind, momentum, decay, epsilon) = match optimizer {
            Optimizer::Sgd { momentum } => (0, momentum, 0.0, 0.0),
            Optimizer::Adam {
                momentum,
                decay,
                epsilon,
            } => (1, momentum, decay, epsilon),
        };
        let part = |kept: f32, steps: i32| (1.0 - f64::from(kept).powi(steps)) as f32;
        let parts: Vec<[f32; 2]> = (1..=pass.turns as i32)
            .map(|steps| [momentum, decay].map(|kept| part(kept, steps)))
            .collect();
        let parts = trainer.gpu.upload(&parts, "parts of moments")?;
        let [momentum, decay, epsilon] = [momentum, decay, epsilon].map(f32::to_bits);
        let update =
            |values: &wgpu::Buffer, gradients: &wgpu::Buffer, stride: u64, per_member: u64| {
                let len = values.size() / 4;
                let [count, stride, per_member, members] =
                    [len, stride, per_member, self.members].map(|value| value as u32);
                let parameters = [
                    count, stride, per_member, members, kind, momentum, decay, epsilon,
                ];
                let moments = trainer.gpu.zeros(2 * len, "moments")?;
                let buffers = [
                    (1, &pass.clock),
                    (2, &rates),
                    (3, gradients),
                    (4, values),
                    (5, &moments),
                    (6, &parts),
                ];
                Ok(Work::Own(trainer.shaders.bind(
                    Kernel::Optimizer,
                    &parameters,
                    &buffers,
                    lanes(len),
                )?))
            };
        let linears = self.linears.iter().map(|linear| {
            update(
                &linear.weights,
                &linear.gradients,
                linear.len() * self.members,
                linear.len(),
            )
        });
        let norms = self.norms.iter().chain([&self.input_norm]).flatten();
        let norms = norms.filter(|norm| norm.learns()).map(|norm| {
            let packed = norm.layer.packed();
            let parameters = norm
                .layer
                .parameters()
                .expect("a layer that learns has them");
            let units = norm.layer.channels() / self.members;
            update(parameters.buffer(), &norm.gradients, packed.stride(), units)
        });
        linears.chain(norms).collect()
    }
}
