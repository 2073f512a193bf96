//! A network that trains without leaving the device: linear, batch norm and ReLU, linear, softmax with cross-entropy, and
//! gradient descent on every parameter. Linear layers, loss and optimizer are plain shaders; batch norm and ReLU are one
//! layer of the library.

use anyhow::Result;
use wgpu_batchnorm::{
    Activation, Backward, Gpu, Kernels, Layer, LayerOptions, Plan, Shape, Statistics, Step, Tensor,
    wgpu,
};

/// The sizes of the network and of its batch.
pub struct Sizes {
    /// Rows of a batch.
    pub rows: u64,
    /// Values of a row.
    pub inputs: u64,
    /// Channels of the hidden layer.
    pub hidden: u64,
    /// Classes to tell apart.
    pub classes: u64,
}

/// A bias: a row of ones beside the inputs.
const BIAS: u64 = 1;
/// Batch norm would take it away again.
const NO_BIAS: u64 = 0;

/// Every tensor of a network: the batch, the parameters, their gradients and what lies between.
pub struct Network {
    pub sizes: Sizes,
    /// One batch. A loop over many writes the next one here between two steps.
    x: wgpu::Buffer,
    labels: wgpu::Buffer,
    /// Of the first linear layer: `[inputs, hidden]`.
    pub first: wgpu::Buffer,
    /// gamma, beta and the running statistics, of `hidden` channels.
    pub norm: Layer,
    /// Of the second linear layer: `[hidden + 1, classes]`, its last row the bias.
    pub second: wgpu::Buffer,
    grad_first: wgpu::Buffer,
    grad_norm: wgpu::Buffer,
    grad_second: wgpu::Buffer,
    linear: wgpu::Buffer,
    saved: wgpu::Buffer,
    active: wgpu::Buffer,
    logits: wgpu::Buffer,
    /// Each row's share of the mean loss.
    pub losses: wgpu::Buffer,
    grad_logits: wgpu::Buffer,
    /// The gradient of `active`, and then, in its place, that of `linear`.
    grad_hidden: wgpu::Buffer,
}

impl Network {
    /// A network with one batch, `x` of `[rows, inputs]` and a label for each row, and with its weights at first.
    pub fn new(
        gpu: &Gpu,
        sizes: Sizes,
        x: &[f32],
        labels: &[u32],
        [first, second]: [&[f32]; 2],
    ) -> Result<Self> {
        let Sizes {
            rows,
            hidden,
            classes,
            ..
        } = sizes;
        let norm = Layer::new(gpu.device(), hidden, &LayerOptions::default())?;
        Ok(Self {
            x: gpu.upload(x, "x")?,
            labels: gpu.upload(labels, "labels")?,
            first: gpu.upload(first, "first")?,
            second: gpu.upload(second, "second")?,
            grad_first: gpu.zeros(first.len() as u64, "gradient of first")?,
            // In the layout of the parameters, zeros between the vectors: one step over all of it moves gamma and beta.
            grad_norm: gpu.zeros(norm.packed().parameters(), "gradients of gamma and beta")?,
            grad_second: gpu.zeros(second.len() as u64, "gradient of second")?,
            linear: gpu.zeros(rows * hidden, "linear")?,
            saved: gpu.zeros(norm.packed().saved(), "saved statistics")?,
            active: gpu.zeros(rows * hidden, "active")?,
            logits: gpu.zeros(rows * classes, "logits")?,
            losses: gpu.zeros(rows, "losses")?,
            grad_logits: gpu.zeros(rows * classes, "gradient of the logits")?,
            grad_hidden: gpu.zeros(rows * hidden, "gradient of the hidden layer")?,
            norm,
            sizes,
        })
    }

    /// Binds everything that one step of training records. By the statistics of the batch, which move the running ones, or
    /// by the running ones, frozen: gamma and beta are trained all the same.
    pub fn training_step(
        &self,
        gpu: &Gpu,
        kernels: &Kernels,
        statistics: Statistics,
        learning_rate: f64,
    ) -> Result<TrainingStep> {
        let Sizes {
            rows,
            inputs,
            hidden,
            classes,
        } = self.sizes;
        let device = gpu.device();
        let linear = module(device, "linear", include_str!("linear.wgsl"));
        let shape = [rows, inputs, hidden, NO_BIAS];
        let first = gpu.upload(&shape.map(|size| size as u32), "first layer")?;
        let shape = [rows, hidden, classes, BIAS];
        let second = gpu.upload(&shape.map(|size| size as u32), "second layer")?;
        let layer = |entry, bound: &[(u32, &wgpu::Buffer)], lanes| {
            Dispatch::new(device, &linear, entry, &[], bound, lanes)
        };

        let loss = Dispatch::new(
            device,
            &module(device, "cross-entropy", include_str!("cross_entropy.wgsl")),
            "main",
            &[("CLASSES", classes as f64)],
            &[
                (0, &self.logits),
                (1, &self.labels),
                (2, &self.losses),
                (3, &self.grad_logits),
            ],
            rows,
        );
        let sgd = module(device, "descent", include_str!("sgd.wgsl"));
        let descend = |parameters: Tensor<'_>, gradients| {
            Dispatch::new(
                device,
                &sgd,
                "main",
                &[("LEARNING_RATE", learning_rate)],
                &[(0, parameters.buffer()), (1, gradients)],
                parameters.len(),
            )
        };
        let (norm, norm_backward) = self.norm_steps(kernels, statistics)?;

        Ok(TrainingStep(vec![
            // there
            Work::Own(layer(
                "forward",
                &[
                    (0, &first),
                    (1, &self.x),
                    (2, &self.first),
                    (3, &self.linear),
                ],
                rows * hidden,
            )),
            Work::Norm(norm),
            Work::Own(layer(
                "forward",
                &[
                    (0, &second),
                    (1, &self.active),
                    (2, &self.second),
                    (3, &self.logits),
                ],
                rows * classes,
            )),
            Work::Own(loss),
            // and back
            Work::Own(layer(
                "weight_gradient",
                &[
                    (0, &second),
                    (1, &self.active),
                    (4, &self.grad_logits),
                    (5, &self.grad_second),
                ],
                (hidden + BIAS) * classes,
            )),
            Work::Own(layer(
                "input_gradient",
                &[
                    (0, &second),
                    (2, &self.second),
                    (4, &self.grad_logits),
                    (6, &self.grad_hidden),
                ],
                rows * hidden,
            )),
            Work::Norm(norm_backward),
            Work::Own(layer(
                "weight_gradient",
                &[
                    (0, &first),
                    (1, &self.x),
                    (4, &self.grad_hidden),
                    (5, &self.grad_first),
                ],
                inputs * hidden,
            )),
            // every gradient is there: no weight is read from here on
            Work::Own(descend(Tensor::whole(&self.first), &self.grad_first)),
            Work::Own(descend(
                self.norm.parameters().expect("the layer has both"),
                &self.grad_norm,
            )),
            Work::Own(descend(Tensor::whole(&self.second), &self.grad_second)),
        ]))
    }

    /// Batch norm and ReLU, there and back.
    fn norm_steps(&self, kernels: &Kernels, statistics: Statistics) -> Result<(Step, Step)> {
        let (limits, norm) = (kernels.limits(), &self.norm);
        let shape = Shape::channels_last(&[self.sizes.rows as usize, self.sizes.hidden as usize])?;
        let [linear, active, grad_hidden, grad_norm, saved] = [
            &self.linear,
            &self.active,
            &self.grad_hidden,
            &self.grad_norm,
            &self.saved,
        ]
        .map(Tensor::whole);
        let forward = norm.buffers(linear, active);
        let backward = norm
            .backward_buffers(linear, grad_hidden)
            .grad_input(grad_hidden)
            .grad_parameters(grad_norm);
        // The gradient of ReLU is found from `linear`, which the backward pass reads anyway.
        Ok(match statistics {
            Statistics::Batch => {
                let options = norm.training_options().activation(Activation::Relu);
                (
                    Plan::training(limits, shape, &options)?.bind(kernels, forward.saved(saved))?,
                    Plan::backward(limits, shape, &Backward::from(&options))?
                        .bind(kernels, backward.saved(saved))?,
                )
            }
            Statistics::Fixed => {
                let options = norm.inference_options().activation(Activation::Relu);
                let running = norm.running().expect("the layer has them");
                (
                    Plan::inference(limits, shape, &options)?.bind(kernels, forward)?,
                    Plan::backward(limits, shape, &Backward::from(&options))?
                        .bind(kernels, backward.running(running))?,
                )
            }
        })
    }

    /// The mean loss of the last step. Waits for the device.
    pub fn loss(&self, gpu: &Gpu) -> Result<f32> {
        let losses: Vec<f32> = gpu.blocking_download(Tensor::whole(&self.losses))?;
        Ok(losses.iter().sum())
    }
}

/// Everything that one step of training records, in order.
pub struct TrainingStep(Vec<Work>);

enum Work {
    Own(Dispatch),
    Norm(Step),
}

impl TrainingStep {
    /// Records the whole step into one pass. Creates nothing, waits for nothing.
    pub fn record(&self, encoder: &mut wgpu::CommandEncoder) {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        for work in &self.0 {
            match work {
                Work::Own(dispatch) => dispatch.record(&mut pass),
                Work::Norm(step) => step.record(&mut pass),
            }
        }
    }

    /// Records the step into an encoder of its own and submits it.
    pub fn run(&self, gpu: &Gpu) {
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        self.record(&mut encoder);
        gpu.queue().submit([encoder.finish()]);
    }
}

/// One of the shaders beside this file, bound.
struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    workgroups: u32,
}

impl Dispatch {
    fn new(
        device: &wgpu::Device,
        module: &wgpu::ShaderModule,
        entry: &str,
        constants: &[(&str, f64)],
        bound: &[(u32, &wgpu::Buffer)],
        lanes: u64,
    ) -> Self {
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label: Some(entry),
            layout: None,
            module,
            entry_point: Some(entry),
            compilation_options: wgpu::PipelineCompilationOptions {
                constants,
                ..Default::default()
            },
            cache: None,
        });
        let entries: Vec<_> = bound
            .iter()
            .map(|&(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label: Some(entry),
            layout: &pipeline.get_bind_group_layout(0),
            entries: &entries,
        });
        Self {
            pipeline,
            group,
            workgroups: lanes.div_ceil(64) as u32,
        }
    }

    fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        pass.dispatch_workgroups(self.workgroups, 1, 1);
    }
}

fn module(device: &wgpu::Device, label: &str, source: &str) -> wgpu::ShaderModule {
    device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some(label),
        source: wgpu::ShaderSource::Wgsl(source.into()),
    })
}

/// Rows of three spirals around each other, `x` of `[rows, 2]` and the spiral of each row.
pub fn spirals(rows: u64) -> (Vec<f32>, Vec<u32>) {
    (0..rows)
        .map(|row| {
            let (spiral, along) = (row % 3, (row / 3) as f32 / (rows / 3) as f32);
            let angle = 2.1 * spiral as f32 + 4.0 * along;
            let radius = 0.2 + along;
            ([radius * angle.sin(), radius * angle.cos()], spiral as u32)
        })
        .fold((vec![], vec![]), |(mut x, mut labels), (point, label)| {
            x.extend(point);
            labels.push(label);
            (x, labels)
        })
}

/// Weights to begin with, spread evenly over -1 to 1: the fractions of multiples of the golden ratio.
pub fn weights(count: u64) -> Vec<f32> {
    let golden = (5f64.sqrt() - 1.0) / 2.0;
    (1..=count)
        .map(|i| (2.0 * (i as f64 * golden).fract() - 1.0) as f32)
        .collect()
}
