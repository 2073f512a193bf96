//! A task on the device: uploaded, bound, ready to run.

use std::borrow::Cow;

use anyhow::Result;
use wgpu_batchnorm::{Buffers, Element, Packed, Plan, Step, Tensor, Training, wgpu};

use super::computation::Operation;
use super::task::{Given, Task, stored, values};
use crate::cli::device::Device;

/// A task on the device.
pub struct Loaded {
    /// How it is computed.
    pub plan: Plan,
    /// What to record.
    pub step: Step,
    /// Tensors of the shape of x that it reads: x first.
    pub inputs: Vec<wgpu::Buffer>,
    /// Tensors of the shape of x that it writes: y, or dx and the gradient of the residual.
    pub outputs: Vec<wgpu::Buffer>,
    element: Element,
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

impl Loaded {
    /// Uploads a task and binds its step.
    pub fn new(device: &Device, task: &Task<'_>) -> Result<Self> {
        // First, as it is what rejects impossible tasks.
        let plan = plan(device, task)?;
        let (gpu, input) = (&device.gpu, task.input);
        let element = input.layer.element;
        let shape = input.shape;
        let (len, channels) = (shape.len(), shape.channels());
        let packed = Packed::new(channels);

        let uploaded: Result<Vec<_>, _> = task
            .tensors()
            .into_iter()
            .map(|tensor| gpu.upload(&stored(tensor, element), "input"))
            .collect();
        let inputs = uploaded?;
        let words = inputs[0].size() / 4;
        let (x, residual, dy) = match (&inputs[..], task.operation) {
            ([x], _) => (x, None, None),
            ([x, dy], Operation::Backward) => (x, None, Some(dy)),
            ([x, residual, dy], _) => (x, Some(residual), Some(dy)),
            ([x, residual], _) => (x, Some(residual), None),
            _ => unreachable!("a task has one to three tensors"),
        };
        let mut outputs = vec![gpu.zeros(words, "output")?];
        if task.operation == Operation::Backward && input.layer.residual {
            outputs.push(gpu.zeros(words, "residual's gradient")?);
        }
        let gamma = gpu.upload(&input.gamma, "gamma")?;
        let beta = gpu.upload(&input.beta, "beta")?;
        let saved = gpu.zeros(packed.saved(), "saved")?;
        let vectors = match &*task.given {
            Given::Running { mean, variance } => {
                Vectors::Statistics([gpu.upload(mean, "mean")?, gpu.upload(variance, "variance")?])
            }
            Given::Nothing => {
                let zeros = vec![0.0; channels as usize];
                let ones = vec![1.0; channels as usize];
                let running = packed.pack(&[&zeros, &ones, &zeros])?;
                Vectors::Running(gpu.upload(&running, "running")?)
            }
            Given::Gradient { .. } => Vectors::Gradients([
                gpu.zeros(channels, "dgamma")?,
                gpu.zeros(channels, "dbeta")?,
            ]),
        };

        let of_shape = |buffer| Tensor::new(buffer, 0, len).stored_as(element);
        let (x, output) = (of_shape(x), of_shape(&outputs[0]));
        let forward = Buffers::new(x, output);
        let buffers = match (&vectors, dy) {
            (Vectors::Statistics([mean, variance]), _) => {
                forward.statistics(Tensor::whole(mean), Tensor::whole(variance))
            }
            (Vectors::Gradients([dgamma, dbeta]), Some(dy)) => {
                save(device, task, forward.saved(Tensor::whole(&saved)))?;
                let buffers = Buffers::backward(x, of_shape(dy))
                    .saved(Tensor::whole(&saved))
                    .grad_input(output)
                    .grad_gamma(Tensor::whole(dgamma))
                    .grad_beta(Tensor::whole(dbeta));
                match outputs.get(1) {
                    Some(of_residual) => buffers.grad_residual(of_shape(of_residual)),
                    None => buffers,
                }
            }
            (Vectors::Running(running), _) => forward
                .running(Tensor::whole(running))
                .saved(Tensor::whole(&saved)),
            (Vectors::Gradients(_), None) => unreachable!("a backward task has a gradient of y"),
        };
        let buffers = buffers
            .label("wgpu-batchnorm")
            .gamma(Tensor::whole(&gamma))
            .beta(Tensor::whole(&beta));
        let buffers = match residual {
            Some(residual) => buffers.residual(of_shape(residual)),
            None => buffers,
        };
        let step = pollster::block_on(plan.bind_checked(&device.kernels, buffers))?;
        Ok(Self {
            plan,
            step,
            inputs,
            outputs,
            element,
            vectors,
        })
    }

    /// Words of each tensor.
    pub fn words(&self) -> u64 {
        self.inputs[0].size() / 4
    }

    /// What the device has written so far, in the order of [`Task::expected`].
    pub fn results(&self, device: &Device) -> Result<Vec<Vec<f32>>> {
        let shape = self.plan.shape();
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
            let bytes: Vec<u8> = device.gpu.blocking_download(Tensor::whole(output))?;
            results.push(values(&bytes, shape.len() as usize, self.element));
        }
        Ok(results)
    }

    /// So many values of the first output, from this one on. Both are multiples of the values in a word, but for the last
    /// values of a tensor.
    pub fn samples(&self, device: &Device, start: u64, len: u64) -> Result<Vec<f32>> {
        let size = self.element.bytes();
        let words = (size * len).div_ceil(4);
        let tensor = Tensor::new(&self.outputs[0], size * start, words);
        let bytes: Vec<u8> = device.gpu.blocking_download(tensor)?;
        Ok(values(&bytes, len as usize, self.element))
    }

    /// The tensors of a task as they are stored in [`Loaded::inputs`].
    pub fn stored<'a>(&self, task: &'a Task<'_>) -> Vec<Cow<'a, [u8]>> {
        let tensors = task.tensors().into_iter();
        tensors.map(|tensor| stored(tensor, self.element)).collect()
    }
}

fn plan(device: &Device, task: &Task<'_>) -> Result<Plan> {
    let (limits, shape) = (device.kernels.limits(), task.input.shape);
    Ok(match task.operation {
        Operation::Inference => Plan::inference(limits, shape, &task.inference())?,
        Operation::Training => Plan::training(limits, shape, &task.training())?,
        Operation::Backward => {
            // What a batch has no statistics for has no gradient through them.
            Plan::training(limits, shape, &task.training())?;
            Plan::backward(limits, shape, &task.backward())?
        }
    })
}

/// Runs a forward pass that saves the batch's statistics. What it writes into y is of no use to the backward pass.
fn save(device: &Device, task: &Task<'_>, buffers: Buffers<'_>) -> Result<()> {
    let options = Training::default()
        .element(task.input.layer.element)
        .gamma(false)
        .beta(false)
        .running(None);
    let plan = Plan::training(device.kernels.limits(), task.input.shape, &options)?;
    let step = pollster::block_on(plan.bind_checked(&device.kernels, buffers))?;
    device.gpu.run("forward", |pass| step.record(pass));
    Ok(())
}
