//! Batch normalization by the f64 reference, in the place of the library's kernels: values come to the host and go back.

use std::cell::RefCell;
use std::rc::Rc;

use wgpu_batchnorm::reference::{self, Parameters, RunningStatistics};
use wgpu_batchnorm::{Backward, Gpu, Inference, Layer, Shape, Tensor, Training, wgpu};

use crate::Error;

/// A pass through one layer.
#[derive(Debug)]
pub(super) struct HostNorm {
    pub(super) direction: Direction,
    pub(super) layer: Layer,
    pub(super) shape: Shape,
    pub(super) x: wgpu::Buffer,
    /// Of the layer, for all its passes.
    pub(super) running: Rc<RefCell<RunningStatistics>>,
}

/// Which pass, and what it writes.
#[derive(Debug)]
pub(super) enum Direction {
    Training {
        options: Training,
        y: wgpu::Buffer,
    },
    Inference {
        options: Inference,
        y: wgpu::Buffer,
    },
    /// In the place of the gradient of the output.
    Backward {
        options: Backward,
        grad: wgpu::Buffer,
        grad_parameters: wgpu::Buffer,
    },
}

fn narrow(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&value| value as f32).collect()
}

impl HostNorm {
    pub(super) async fn run(&self, gpu: &Gpu) -> Result<(), Error> {
        let len = self.shape.len();
        let read = |buffer| gpu.download::<f32>(Tensor::new(buffer, 0, len));
        let x = read(&self.x).await?;
        let state = self.layer.read(gpu.device(), gpu.queue()).await?;
        let parameters = Parameters {
            gamma: state.gamma.as_deref(),
            beta: state.beta.as_deref(),
        };
        let write = |buffer, values: &[f64]| {
            let values = narrow(values);
            gpu.queue()
                .write_buffer(buffer, 0, bytemuck::cast_slice(&values));
        };
        match &self.direction {
            Direction::Training { options, y } => {
                let mut running = self.running.borrow_mut();
                let running = options.running.is_some().then_some(&mut *running);
                let forward =
                    reference::training(&x, None, self.shape, parameters, options, running)?;
                write(y, &forward.y);
            }
            Direction::Inference { options, y } => {
                let running = self.running.borrow();
                let (mean, variance) = (narrow(&running.mean), narrow(&running.variance));
                let normalized = reference::inference(
                    &x, None, self.shape, parameters, &mean, &variance, options,
                )?;
                write(y, &normalized);
            }
            Direction::Backward {
                options,
                grad,
                grad_parameters,
            } => {
                let dy = read(grad).await?;
                let gradients =
                    reference::backward(&x, &dy, None, self.shape, parameters, None, options)?;
                write(grad, &gradients.input);
                let vectors = [narrow(&gradients.gamma), narrow(&gradients.beta)];
                let packed = self.layer.packed().pack(&[&vectors[0], &vectors[1]])?;
                gpu.queue()
                    .write_buffer(grad_parameters, 0, bytemuck::cast_slice(&packed));
            }
        }
        Ok(())
    }
}
