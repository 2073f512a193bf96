//! A batch norm layer over all members of a bank: their channels lie side by side, and are normalized by one step.

use std::cell::RefCell;
use std::rc::Rc;

use wgpu_batchnorm::reference::RunningStatistics;
use wgpu_batchnorm::{
    Activation, Backward, Inference, Layer, LayerOptions, Plan, Shape, Tensor, Training, wgpu,
};

use super::host::{Direction, HostNorm};
use super::recorder::Work;
use super::{Statistics, Trainer};
use crate::Error;
use crate::spec::Norm;

/// The layer, its gradients, and what its statistics are taken from.
#[derive(Debug)]
pub(super) struct NormLayer {
    pub(super) layer: Layer,
    /// Of gamma and beta, where they lie in the layer.
    pub(super) gradients: wgpu::Buffer,
    /// What the backward pass needs of the forward pass.
    saved: wgpu::Buffer,
    activation: Activation,
    /// Mean 0 and variance 1, where those take the place of all statistics.
    fixed: Option<[wgpu::Buffer; 2]>,
    /// Where the host normalizes.
    on_host: Option<Rc<RefCell<RunningStatistics>>>,
}

impl NormLayer {
    /// The layer of a norm; none where there is none.
    pub(super) fn new(
        trainer: &Trainer,
        norm: Norm,
        channels: u64,
        activation: Activation,
    ) -> Result<Option<Self>, Error> {
        let gpu = &trainer.gpu;
        let learns = match norm {
            Norm::None => return Ok(None),
            Norm::Batch => true,
            Norm::Identity => false,
        };
        let mut options = LayerOptions::default().gamma(learns).beta(learns);
        let mut fixed = None;
        if !learns {
            options = options.epsilon(0.0).running(None);
            let [mean, variance] = [0.0f32, 1.0]
                .map(|value| gpu.upload(&vec![value; channels as usize], "statistics"));
            fixed = Some([mean?, variance?]);
        }
        let layer = Layer::new(gpu.device(), channels, &options)?;
        let packed = layer.packed();
        let on_host = (trainer.on_host && learns)
            .then(|| Rc::new(RefCell::new(RunningStatistics::new(channels as usize))));
        Ok(Some(Self {
            gradients: gpu.zeros(packed.parameters(), "gradients of gamma and beta")?,
            saved: gpu.zeros(packed.saved(), "saved statistics")?,
            layer,
            activation,
            fixed,
            on_host,
        }))
    }

    /// Whether gamma and beta are there to be trained.
    pub(super) fn learns(&self) -> bool {
        self.fixed.is_none()
    }

    fn shape(&self, rows: u64) -> Result<Shape, Error> {
        Ok(Shape::channels_last(&[
            rows as usize,
            self.layer.channels() as usize,
        ])?)
    }

    fn host(&self, shape: Shape, x: &wgpu::Buffer, direction: Direction) -> Option<Work> {
        let running = self.on_host.clone()?;
        Some(Work::Host(Box::new(HostNorm {
            direction,
            layer: self.layer.clone(),
            shape,
            x: x.clone(),
            running,
        })))
    }

    fn training(&self) -> Training {
        self.layer.training_options().activation(self.activation)
    }

    fn inference(&self) -> Inference {
        self.layer.inference_options().activation(self.activation)
    }

    /// From x to y, rows of all members.
    pub(super) fn forward(
        &self,
        trainer: &Trainer,
        rows: u64,
        statistics: Statistics,
        x: &wgpu::Buffer,
        y: &wgpu::Buffer,
    ) -> Result<Work, Error> {
        let shape = self.shape(rows)?;
        let kernels = &trainer.kernels;
        let [tensor_x, tensor_y] = [x, y].map(|buffer| Tensor::new(buffer, 0, shape.len()));
        let buffers = self.layer.buffers(tensor_x, tensor_y);
        let step = match (statistics, &self.fixed) {
            (_, Some([mean, variance])) => {
                let plan = Plan::inference(kernels.limits(), shape, &self.inference())?;
                let [mean, variance] = [mean, variance].map(Tensor::whole);
                plan.bind(kernels, buffers.statistics(mean, variance))?
            }
            (Statistics::Running, None) => {
                let options = self.inference();
                let plan = Plan::inference(kernels.limits(), shape, &options)?;
                if let Some(work) = self.host(
                    shape,
                    x,
                    Direction::Inference {
                        options,
                        y: y.clone(),
                    },
                ) {
                    return Ok(work);
                }
                plan.bind(kernels, buffers)?
            }
            (Statistics::BatchAndRunning | Statistics::Batch, None) => {
                let trains = statistics == Statistics::BatchAndRunning;
                let mut options = self.training();
                if !trains {
                    options = options.running(None).saved(false);
                }
                let plan = Plan::training(kernels.limits(), shape, &options)?;
                if let Some(work) = self.host(
                    shape,
                    x,
                    Direction::Training {
                        options,
                        y: y.clone(),
                    },
                ) {
                    return Ok(work);
                }
                let parameters = self.layer.parameters();
                let buffers = if trains {
                    buffers.saved(Tensor::whole(&self.saved))
                } else {
                    let parameters = parameters.expect("a layer that learns has them");
                    wgpu_batchnorm::Buffers::new(tensor_x, tensor_y).parameters(parameters)
                };
                plan.bind(kernels, buffers)?
            }
        };
        Ok(Work::Norm(step))
    }

    /// After a forward pass that trained: the gradient of y becomes that of x.
    pub(super) fn backward(
        &self,
        trainer: &Trainer,
        rows: u64,
        x: &wgpu::Buffer,
        grad: &wgpu::Buffer,
    ) -> Result<Work, Error> {
        let shape = self.shape(rows)?;
        let kernels = &trainer.kernels;
        let [tensor_x, tensor_grad] = [x, grad].map(|buffer| Tensor::new(buffer, 0, shape.len()));
        let buffers = self
            .layer
            .backward_buffers(tensor_x, tensor_grad)
            .grad_input(tensor_grad);
        if let Some([mean, variance]) = &self.fixed {
            let plan = Plan::backward(kernels.limits(), shape, &Backward::from(&self.inference()))?;
            let [mean, variance] = [mean, variance].map(Tensor::whole);
            return Ok(Work::Norm(
                plan.bind(kernels, buffers.statistics(mean, variance))?,
            ));
        }
        let options = Backward::from(&self.training());
        let plan = Plan::backward(kernels.limits(), shape, &options)?;
        let direction = Direction::Backward {
            options,
            grad: grad.clone(),
            grad_parameters: self.gradients.clone(),
        };
        if let Some(work) = self.host(shape, x, direction) {
            return Ok(work);
        }
        let buffers = buffers
            .saved(Tensor::whole(&self.saved))
            .grad_parameters(Tensor::whole(&self.gradients));
        Ok(Work::Norm(plan.bind(kernels, buffers)?))
    }
}
