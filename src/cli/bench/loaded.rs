//! A task on the device: uploaded, bound, ready to run.

use std::borrow::Cow;

use anyhow::Result;
use wgpu_batchnorm::{Buffers, Element, Packed, Plan, Shape, Step, Tensor, Training, wgpu};

use super::apart::Apart;
use super::computation::Operation;
use super::task::{By, Given, Task, stored, values};
use crate::cli::device::Device;

/// A task on the device, ready to run.
pub struct Loaded {
    /// How it is computed.
    pub plan: Plan,
    /// What to record.
    pub step: Step,
    /// What it works on.
    pub tensors: Tensors,
}

impl Loaded {
    /// Uploads a task and binds its step, planned as the device's tunings say.
    pub fn new(device: &Device, task: &Task<'_>) -> Result<Self> {
        // First, as it is what rejects impossible tasks.
        let plan = task.plan(
            device.kernels.limits(),
            By::Measured(device.tunings.as_ref()),
        )?;
        let tensors = Tensors::new(device, task)?;
        let step = tensors.bind(device, &plan)?;
        Ok(Self {
            plan,
            step,
            tensors,
        })
    }
}

/// The tensors of a task on the device, for any plan of it.
pub struct Tensors {
    /// Tensors of the shape of x that are read: x first.
    pub inputs: Vec<Apart>,
    /// Tensors of the shape of x that are written: y, or dx and the gradient of the residual.
    pub outputs: Vec<Apart>,
    shape: Shape,
    element: Element,
    operation: Operation,
    gamma: wgpu::Buffer,
    beta: wgpu::Buffer,
    saved: wgpu::Buffer,
    vectors: Vectors,
}

/// What is there per channel, beside gamma and beta.
enum Vectors {
    /// Mean and variance, which are read.
    Statistics([wgpu::Buffer; 2]),
    /// Packed: mean, variance, batches.
    Running(wgpu::Buffer),
    /// dgamma and dbeta.
    Gradients([wgpu::Buffer; 2]),
}

impl Tensors {
    /// Uploads a task; of a backward one runs the forward pass that saves the batch's statistics.
    pub fn new(device: &Device, task: &Task<'_>) -> Result<Self> {
        let (gpu, input) = (&device.gpu, task.input);
        let element = input.layer.element;
        let shape = input.shape;
        let channels = shape.channels();
        let packed = Packed::new(channels);

        let mut inputs = Vec::new();
        for (index, tensor) in task.tensors().into_iter().enumerate() {
            inputs.push(Apart::upload(
                gpu,
                &stored(tensor, element),
                index,
                "input",
            )?);
        }
        let room = |index, label| Apart::room(gpu, inputs[0].bytes(), inputs.len() + index, label);
        let mut outputs = vec![room(0, "output")?];
        if task.operation == Operation::Backward && input.layer.residual {
            outputs.push(room(1, "residual's gradient")?);
        }
        let vectors = match &*task.given {
            Given::Running { mean, variance } => {
                Vectors::Statistics([gpu.upload(mean, "mean")?, gpu.upload(variance, "variance")?])
            }
            Given::Nothing => Vectors::Running(gpu.upload(&new_running(packed)?, "running")?),
            Given::Gradient { .. } => Vectors::Gradients([
                gpu.zeros(channels, "dgamma")?,
                gpu.zeros(channels, "dbeta")?,
            ]),
        };
        let tensors = Self {
            inputs,
            outputs,
            shape,
            element,
            operation: task.operation,
            gamma: gpu.upload(&input.gamma, "gamma")?,
            beta: gpu.upload(&input.beta, "beta")?,
            saved: gpu.zeros(packed.saved(), "saved")?,
            vectors,
        };
        if task.operation == Operation::Backward {
            tensors.save(device)?;
        }
        Ok(tensors)
    }

    /// A step of a plan of the task.
    pub fn bind(&self, device: &Device, plan: &Plan) -> Result<Step> {
        let (x, residual, dy) = match (&self.inputs[..], self.operation) {
            ([x], _) => (x, None, None),
            ([x, dy], Operation::Backward) => (x, None, Some(dy)),
            ([x, residual, dy], _) => (x, Some(residual), Some(dy)),
            ([x, residual], _) => (x, Some(residual), None),
            _ => unreachable!("a task has one to three tensors"),
        };
        let (x, output) = (self.of_shape(x), self.of_shape(&self.outputs[0]));
        let forward = Buffers::new(x, output);
        let saved = Tensor::whole(&self.saved);
        let buffers = match (&self.vectors, dy) {
            (Vectors::Statistics([mean, variance]), _) => {
                forward.statistics(Tensor::whole(mean), Tensor::whole(variance))
            }
            (Vectors::Gradients([dgamma, dbeta]), Some(dy)) => {
                let buffers = Buffers::backward(x, self.of_shape(dy))
                    .saved(saved)
                    .grad_input(output)
                    .grad_gamma(Tensor::whole(dgamma))
                    .grad_beta(Tensor::whole(dbeta));
                match self.outputs.get(1) {
                    Some(of_residual) => buffers.grad_residual(self.of_shape(of_residual)),
                    None => buffers,
                }
            }
            (Vectors::Running(running), _) => forward.running(Tensor::whole(running)).saved(saved),
            (Vectors::Gradients(_), None) => unreachable!("a backward task has a gradient of y"),
        };
        let buffers = buffers
            .label("wgpu-batchnorm")
            .gamma(Tensor::whole(&self.gamma))
            .beta(Tensor::whole(&self.beta));
        let buffers = match residual {
            Some(residual) => buffers.residual(self.of_shape(residual)),
            None => buffers,
        };
        Ok(pollster::block_on(
            plan.bind_checked(&device.kernels, buffers),
        )?)
    }

    /// Forgets what steps have written, so that the results are those of the next one alone.
    pub fn reset(&self, device: &Device) -> Result<()> {
        let gpu = &device.gpu;
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let gradients = match &self.vectors {
            Vectors::Gradients(gradients) => &gradients[..],
            Vectors::Statistics(_) => &[],
            Vectors::Running(running) => {
                let new = new_running(Packed::new(self.shape.channels()))?;
                gpu.queue()
                    .write_buffer(running, 0, bytemuck::cast_slice(&new));
                &[]
            }
        };
        for output in &self.outputs {
            output.clear(&mut encoder);
        }
        for gradient in gradients {
            encoder.clear_buffer(gradient, 0, None);
        }
        gpu.queue().submit([encoder.finish()]);
        Ok(())
    }

    /// Runs a forward pass that saves the batch's statistics. What it writes into y is of no use to the backward pass.
    fn save(&self, device: &Device) -> Result<()> {
        let options = Training::default()
            .element(self.element)
            .gamma(false)
            .beta(false)
            .running(None);
        let plan = Plan::training(device.kernels.limits(), self.shape, &options)?;
        let [x, y] = [&self.inputs[0], &self.outputs[0]].map(|tensor| self.of_shape(tensor));
        let buffers = Buffers::new(x, y).saved(Tensor::whole(&self.saved));
        let step = pollster::block_on(plan.bind_checked(&device.kernels, buffers))?;
        device.gpu.run("forward", |pass| step.record(pass));
        Ok(())
    }

    fn of_shape<'a>(&self, tensor: &'a Apart) -> Tensor<'a> {
        tensor.values(self.shape.len(), self.element)
    }

    /// Words of each tensor.
    pub fn words(&self) -> u64 {
        self.inputs[0].bytes() / 4
    }

    /// What the device has written so far, in the order of [`Task::expected`].
    pub fn results(&self, device: &Device) -> Result<Vec<Vec<f32>>> {
        let shape = self.shape;
        let download = |buffer: &wgpu::Buffer| -> Result<Vec<f32>> {
            Ok(device.gpu.blocking_download(Tensor::whole(buffer))?)
        };
        let mut results = vec![self.samples(device, 0, shape.len())?];
        match &self.vectors {
            Vectors::Statistics(_) => (),
            Vectors::Running(running) => {
                let (packed, values) = (Packed::new(shape.channels()), download(running)?);
                results.extend([0, 1].map(|index| {
                    let vector = packed.vector(&values, index);
                    vector
                        .expect("the buffer was packed for these channels")
                        .to_vec()
                }));
            }
            Vectors::Gradients(gradients) => {
                for gradient in gradients {
                    results.push(download(gradient)?);
                }
            }
        }
        for output in &self.outputs[1..] {
            let bytes: Vec<u8> = device.gpu.blocking_download(output.words())?;
            results.push(values(&bytes, shape.len() as usize, self.element));
        }
        Ok(results)
    }

    /// So many values of the first output, from this one on. Both are multiples of the values in a word, but for the last
    /// values of a tensor.
    pub fn samples(&self, device: &Device, start: u64, len: u64) -> Result<Vec<f32>> {
        let size = self.element.bytes();
        let part = self.outputs[0].part(size * start, size * len);
        let bytes: Vec<u8> = device.gpu.blocking_download(part)?;
        Ok(values(&bytes, len as usize, self.element))
    }

    /// The tensors of a task as they are stored in [`Tensors::inputs`].
    pub fn stored<'a>(&self, task: &'a Task<'_>) -> Vec<Cow<'a, [u8]>> {
        let tensors = task.tensors().into_iter();
        tensors.map(|tensor| stored(tensor, self.element)).collect()
    }
}

/// The packed running statistics of a layer that has learned nothing.
fn new_running(packed: Packed) -> Result<Vec<f32>> {
    let [zeros, ones] = [0.0, 1.0].map(|value| vec![value; packed.channels() as usize]);
    Ok(packed.pack(&[&zeros, &ones, &zeros])?)
}
