//! The shaders. What is timed is what a pipeline pays for a layer: its steps recorded one after another into one compute
//! pass, one submission, and the wait until it is done. Tensors, plans and bind groups are there before.

use std::time::Instant;

use serde_json::{Value, json};
use wgpu_batchnorm::wgpu::Buffer;
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel, CopyStep};
use wgpu_batchnorm::{
    Gpu, GpuOptions, Kernels, Layer, LayerOptions, Packed, Plan, Running, Step, Tensor,
    TransferError,
};

use crate::protocol::{EPSILON, MOMENTUM, Operation, Peer, Prepared, Refused, Results, Work};
use crate::{shape, text, versions};

pub struct Adapter {
    gpu: Gpu,
    kernels: Kernels,
}

impl Adapter {
    pub fn new() -> Result<Self, Refused> {
        let gpu = Gpu::blocking(&GpuOptions::from_env()).map_err(text)?;
        let kernels = Kernels::new(gpu.device());
        Ok(Self { gpu, kernels })
    }
}

/// What is recorded, with what it is bound to.
enum Recorded {
    /// The copy that this library's speeds are measured against stands for `x * 2`.
    Copy(CopyStep),
    Steps(Vec<Step>),
}

struct Bound {
    gpu: Gpu,
    operation: Operation,
    recorded: Recorded,
    y: Buffer,
    layer: Layer,
    gradients: Option<[Buffer; 2]>,
}

impl Peer for Adapter {
    fn about(&self) -> Value {
        let info = self.gpu.adapter().get_info();
        json!({
            "versions": versions(),
            "adapter": info.name,
            "driver": format!("{} {}", info.driver, info.driver_info),
        })
    }

    fn prepare(&self, work: &Work) -> Result<Box<dyn Prepared>, Refused> {
        let (gpu, kernels, limits) = (&self.gpu, &self.kernels, self.kernels.limits());
        let shape = shape(work)?;
        let x = gpu.upload(&work.input("x")?, "x").map_err(text)?;
        let y = gpu.zeros(shape.len(), "y").map_err(text)?;
        let running = Running::pytorch(Some(MOMENTUM));
        let options = LayerOptions::default()
            .epsilon(EPSILON)
            .running(Some(running));
        let layer = Layer::new(gpu.device(), shape.channels(), &options).map_err(text)?;
        let queue = gpu.queue();
        layer
            .set_gamma(queue, &work.input("gamma")?)
            .map_err(text)?;
        layer.set_beta(queue, &work.input("beta")?).map_err(text)?;
        layer
            .set_running_mean(queue, &work.input("mean")?)
            .map_err(text)?;
        layer
            .set_running_variance(queue, &work.input("variance")?)
            .map_err(text)?;

        let buffers = layer.buffers(Tensor::whole(&x), Tensor::whole(&y));
        let mut gradients = None;
        let recorded = match work.operation {
            Operation::Double => Recorded::Copy(self.fastest_copy(&x, &y).map_err(text)?),
            Operation::Inference => {
                let options = layer.inference_options();
                let plan = Plan::inference(limits, shape, &options).map_err(text)?;
                Recorded::Steps(vec![plan.bind(kernels, buffers).map_err(text)?])
            }
            Operation::Training | Operation::Step => {
                let options = layer.training_options();
                let saved = gpu.zeros(layer.packed().saved(), "saved").map_err(text)?;
                let plan = Plan::training(limits, shape, &options).map_err(text)?;
                let buffers = buffers.saved(Tensor::whole(&saved));
                let mut steps = vec![plan.bind(kernels, buffers).map_err(text)?];
                if work.operation == Operation::Step {
                    let dy = gpu.upload(&work.input("dy")?, "dy").map_err(text)?;
                    let dx = gpu.zeros(shape.len(), "dx").map_err(text)?;
                    let parameters =
                        (gpu.zeros(layer.packed().parameters(), "gradients")).map_err(text)?;
                    let plan = Plan::backward(limits, shape, &layer.backward_options());
                    let buffers = layer
                        .backward_buffers(Tensor::whole(&x), Tensor::whole(&dy))
                        .saved(Tensor::whole(&saved))
                        .grad_input(Tensor::whole(&dx))
                        .grad_parameters(Tensor::whole(&parameters));
                    steps.push(plan.map_err(text)?.bind(kernels, buffers).map_err(text)?);
                    gradients = Some([dx, parameters]);
                }
                Recorded::Steps(steps)
            }
        };
        gpu.queue().submit([]);
        gpu.wait().map_err(text)?;
        Ok(Box::new(Bound {
            gpu: gpu.clone(),
            operation: work.operation,
            recorded,
            y,
            layer,
            gradients,
        }))
    }
}

impl Adapter {
    fn fastest_copy(&self, x: &Buffer, y: &Buffer) -> Result<CopyStep, TransferError> {
        let limits = self.kernels.limits();
        let mut fastest = None;
        for geometry in CopyGeometry::candidates(limits, x.size() / 4) {
            let kernel = CopyKernel::new(self.gpu.device(), limits, geometry);
            let copy = kernel
                .bind(Tensor::whole(x), Tensor::whole(y))
                .expect("two buffers of one size");
            let mut seconds = f64::INFINITY;
            // The first is the compiler's.
            for _ in 0..6 {
                let start = Instant::now();
                self.gpu.run("copy", |pass| copy.record(pass));
                self.gpu.wait()?;
                seconds = start.elapsed().as_secs_f64().min(seconds);
            }
            if fastest.as_ref().is_none_or(|(best, _)| seconds < *best) {
                fastest = Some((seconds, copy));
            }
        }
        Ok(fastest.expect("candidates for every device").1)
    }
}

impl Prepared for Bound {
    fn repeat(&mut self, repeats: usize) -> Result<(), Refused> {
        self.gpu.run("repeats", |pass| {
            for _ in 0..repeats {
                match &self.recorded {
                    Recorded::Copy(copy) => copy.record(pass),
                    Recorded::Steps(steps) => steps.iter().for_each(|step| step.record(pass)),
                }
            }
        });
        self.gpu.wait().map_err(text)
    }

    fn results(&mut self) -> Result<Results, Refused> {
        self.repeat(1)?;
        let read = |buffer: &Buffer| {
            self.gpu
                .blocking_download::<f32>(Tensor::whole(buffer))
                .map_err(text)
        };
        let name = match self.recorded {
            Recorded::Copy(_) => "copy",
            Recorded::Steps(_) => "y",
        };
        let mut results = vec![(name, read(&self.y)?)];
        if let Some([dx, parameters]) = &self.gradients {
            let packed = Packed::new(self.layer.channels());
            let parameters = read(parameters)?;
            let part = |index| {
                packed
                    .vector(&parameters, index)
                    .unwrap_or_default()
                    .to_vec()
            };
            results.push(("dx", read(dx)?));
            results.push(("dgamma", part(0)));
            results.push(("dbeta", part(1)));
        }
        if matches!(self.operation, Operation::Training | Operation::Step) {
            let (device, queue) = (self.gpu.device(), self.gpu.queue());
            let state = self.layer.blocking_read(device, queue).map_err(text)?;
            results.push(("mean", state.running_mean.unwrap_or_default()));
            results.push(("variance", state.running_variance.unwrap_or_default()));
        }
        Ok(results)
    }
}
