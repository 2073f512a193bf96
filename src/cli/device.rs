//! A problem on the device: uploaded, bound, run, read back.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::Serialize;
use wgpu_batchnorm::{
    Buffers, Derivative, DeviceLimits, Gpu, GpuOptions, Kernels, Packed, Plan, Step, Tensor,
    Tunings, wgpu,
};

use super::adapter::{AdapterChoice, NO_DEVICE};
use super::output::{driver, exit, print_error};
use super::placed::Placed;
use super::problem::{Gradients, Problem, Solution, State, Statistics};

/// A device and its kernels.
pub struct Device {
    /// The device itself.
    pub gpu: Gpu,
    /// The pipelines made for it so far.
    pub kernels: Kernels,
    /// What was measured on it, which plans are made by.
    pub tunings: Option<Tunings>,
}

/// An adapter, for programs.
#[derive(Debug, Serialize)]
pub struct AdapterReport {
    name: String,
    backend: String,
    kind: String,
    driver: String,
    #[serde(skip_serializing_if = "String::is_empty")]
    pci_address: String,
}

impl AdapterReport {
    /// Of what wgpu says of it.
    pub fn new(info: &wgpu::AdapterInfo) -> Self {
        Self {
            name: info.name.clone(),
            backend: info.backend.to_string(),
            kind: kind(info).to_owned(),
            driver: driver(info),
            pci_address: info.device_pci_bus_id.clone(),
        }
    }
}

/// What kind of adapter it is.
pub fn kind(info: &wgpu::AdapterInfo) -> &'static str {
    match info.device_type {
        wgpu::DeviceType::DiscreteGpu => "discrete GPU",
        wgpu::DeviceType::IntegratedGpu => "integrated GPU",
        wgpu::DeviceType::VirtualGpu => "virtual GPU",
        wgpu::DeviceType::Cpu => "software",
        wgpu::DeviceType::Other => "of unknown kind",
    }
}

/// Where inputs and outputs of the tensor's shape lie in their buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// Each fills a buffer of its own.
    Whole,
    /// Each lies in the middle of a buffer, from this byte, among values that must stay as they are.
    Pool {
        /// Byte offset of the input, and of all that has its shape and is read.
        x: u64,
        /// Byte offset of the output, and of all that has its shape and is written.
        y: u64,
    },
}

impl Placement {
    fn offsets(self) -> [Option<u64>; 2] {
        match self {
            Self::Whole => [None, None],
            Self::Pool { x, y } => [Some(x), Some(y)],
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y] = self.offsets().map(Option::unwrap_or_default);
        write!(f, "x at byte {x}, y at {y}")
    }
}

impl Device {
    /// A device of the chosen adapter.
    pub fn open(choice: &AdapterChoice, limits: DeviceLimits) -> Result<Self> {
        Self::new(choice.find()?, limits)
    }

    /// A device of this adapter.
    pub fn new(adapter: wgpu::Adapter, limits: DeviceLimits) -> Result<Self> {
        let options = GpuOptions::default().limits(limits);
        let gpu = pollster::block_on(Gpu::from_adapter(adapter, &options))?;
        // What no error scope awaits: memory that runs out, a device that is lost. wgpu would panic.
        gpu.device().on_uncaptured_error(Arc::new(|error| {
            print_error(format_args!("the device: {error}"));
            exit(NO_DEVICE);
        }));
        let kernels = Kernels::new(gpu.device());
        Ok(Self {
            gpu,
            kernels,
            tunings: None,
        })
    }

    /// A device with what every device has: what is right, or fast, on these limits is so for whoever asks for no more.
    /// Only buffers may be as large as the adapter has them, for large inputs.
    pub fn with_usual_limits(adapter: wgpu::Adapter) -> Result<Self> {
        let limits = wgpu::Limits {
            max_buffer_size: adapter.limits().max_buffer_size,
            ..wgpu::Limits::default()
        };
        Self::new(adapter, DeviceLimits::Custom(Box::new(limits)))
    }

    /// What the adapter is called, and what drives it.
    pub fn info(&self) -> wgpu::AdapterInfo {
        self.gpu.adapter().get_info()
    }

    fn forward_plan(&self, problem: &Problem) -> Result<Plan> {
        let limits = self.kernels.limits();
        Ok(match &problem.statistics {
            // Saved, as in a training loop: a backward pass follows there.
            Statistics::Batch(_) => {
                let options = problem.training().saved(true);
                Plan::training(
                    limits,
                    problem.shape,
                    &options.tunings(self.tunings.clone()),
                )?
            }
            Statistics::Given(_) => {
                let options = problem.inference().tunings(self.tunings.clone());
                Plan::inference(limits, problem.shape, &options)?
            }
        })
    }

    fn backward_plan(&self, problem: &Problem) -> Result<Option<Plan>> {
        let limits = self.kernels.limits();
        let options = problem.backward().tunings(self.tunings.clone());
        let plan = || Plan::backward(limits, problem.shape, &options);
        Ok(match problem.grad_output {
            Some(_) => Some(plan()?),
            None => None,
        })
    }

    /// Uploads a problem and binds its steps.
    pub fn load(&self, problem: &Problem, placement: Placement) -> Result<Loaded> {
        // First, as it is what rejects impossible problems.
        let plan = self.forward_plan(problem)?;
        let backward_plan = self.backward_plan(problem)?;
        let gpu = &self.gpu;
        let [read, written] = placement.offsets();
        let room = |label| Placed::room(gpu, plan.shape().len(), problem.element, written, label);
        let upload =
            |values: &[f32], label| Placed::upload(gpu, values, problem.element, read, label);
        let given = |values: &Option<Vec<f32>>, label| {
            let values = values.as_ref();
            values.map(|values| upload(values, label)).transpose()
        };
        let (x, y) = (upload(&problem.x, "x")?, room("y")?);
        let residual = given(&problem.residual, "residual")?;
        let grad_output = given(&problem.grad_output, "grad_output")?;

        let packed = Packed::new(problem.shape.channels());
        let vector = |values: &Option<Vec<f32>>, label| {
            let values = values.as_ref();
            values.map(|values| gpu.upload(values, label)).transpose()
        };
        let gamma = vector(&problem.gamma, "gamma")?;
        let beta = vector(&problem.beta, "beta")?;
        let running = match problem.state() {
            Some(State {
                mean,
                variance,
                batches,
            }) => {
                let batches = vec![f32::from_bits(*batches); mean.len()];
                Some(gpu.upload(&packed.pack(&[mean, variance, &batches])?, "running")?)
            }
            None => None,
        };
        let saved = match &problem.statistics {
            Statistics::Batch(_) => Some(gpu.zeros(packed.saved(), "saved")?),
            Statistics::Given(_) => None,
        };
        let mask = if problem.derives_from(Derivative::Mask) {
            Some(gpu.zeros(plan.mask_words(), "mask")?)
        } else {
            None
        };

        let common = Common {
            residual,
            gamma,
            beta,
            saved,
            mask,
        };

        let mut buffers = common.add_to(Buffers::new(x.tensor(), y.tensor()));
        if let Some(running) = &running {
            buffers = buffers.running(Tensor::whole(running));
        }
        let step = pollster::block_on(plan.bind_checked(&self.kernels, buffers))?;

        let backward = match (backward_plan, &grad_output) {
            (Some(plan), Some(grad_output)) => {
                let gradients = LoadedGradients {
                    input: room("grad_input")?,
                    gamma: common
                        .gamma
                        .as_ref()
                        .map(|_| gpu.zeros(packed.channels(), "grad_gamma"))
                        .transpose()?,
                    beta: common
                        .beta
                        .as_ref()
                        .map(|_| gpu.zeros(packed.channels(), "grad_beta"))
                        .transpose()?,
                    residual: common
                        .residual
                        .as_ref()
                        .map(|_| room("grad_residual"))
                        .transpose()?,
                };
                let buffers = Buffers::backward(x.tensor(), grad_output.tensor());
                let mut buffers = gradients.add_to(common.add_to(buffers));
                if problem.derives_from(Derivative::Output) {
                    buffers = buffers.output(y.tensor());
                }
                if let (Statistics::Given(_), Some(running)) = (&problem.statistics, &running) {
                    buffers = buffers.running(Tensor::whole(running));
                }
                let step = pollster::block_on(plan.bind_checked(&self.kernels, buffers))?;
                Some((step, gradients))
            }
            _ => None,
        };
        Ok(Loaded {
            plan,
            step,
            y,
            running,
            backward,
        })
    }

    /// Loads a problem, runs its steps once and reads the results back.
    pub fn solve(&self, problem: &Problem, placement: Placement) -> Result<Solution> {
        let loaded = self.load(problem, placement)?;
        self.gpu.run("wgpu-batchnorm", |pass| {
            loaded.step.record(pass);
            if let Some((step, _)) = &loaded.backward {
                step.record(pass);
            }
        });
        loaded.solution(self)
    }
}

/// A problem on the device, ready to run.
pub struct Loaded {
    plan: Plan,
    step: Step,
    y: Placed,
    running: Option<wgpu::Buffer>,
    backward: Option<(Step, LoadedGradients)>,
}

/// What both passes of a problem have.
struct Common {
    residual: Option<Placed>,
    gamma: Option<wgpu::Buffer>,
    beta: Option<wgpu::Buffer>,
    saved: Option<wgpu::Buffer>,
    mask: Option<wgpu::Buffer>,
}

impl Common {
    fn add_to<'a>(&'a self, mut buffers: Buffers<'a>) -> Buffers<'a> {
        buffers = buffers.label("wgpu-batchnorm");
        if let Some(residual) = &self.residual {
            buffers = buffers.residual(residual.tensor());
        }
        if let Some(gamma) = &self.gamma {
            buffers = buffers.gamma(Tensor::whole(gamma));
        }
        if let Some(beta) = &self.beta {
            buffers = buffers.beta(Tensor::whole(beta));
        }
        if let Some(saved) = &self.saved {
            buffers = buffers.saved(Tensor::whole(saved));
        }
        if let Some(mask) = &self.mask {
            buffers = buffers.mask(Tensor::whole(mask));
        }
        buffers
    }
}

/// Where the gradients of what a problem has go.
struct LoadedGradients {
    input: Placed,
    gamma: Option<wgpu::Buffer>,
    beta: Option<wgpu::Buffer>,
    residual: Option<Placed>,
}

impl LoadedGradients {
    fn add_to<'a>(&'a self, buffers: Buffers<'a>) -> Buffers<'a> {
        let mut buffers = buffers.grad_input(self.input.tensor());
        if let Some(gamma) = &self.gamma {
            buffers = buffers.grad_gamma(Tensor::whole(gamma));
        }
        if let Some(beta) = &self.beta {
            buffers = buffers.grad_beta(Tensor::whole(beta));
        }
        if let Some(residual) = &self.residual {
            buffers = buffers.grad_residual(residual.tensor());
        }
        buffers
    }

    fn read(&self, gpu: &Gpu) -> Result<Gradients> {
        let vector = |buffer: &Option<wgpu::Buffer>| {
            let buffer = buffer.as_ref();
            buffer
                .map(|buffer| gpu.blocking_download(Tensor::whole(buffer)))
                .transpose()
        };
        Ok(Gradients {
            input: self.input.read(gpu)?,
            gamma: vector(&self.gamma)?,
            beta: vector(&self.beta)?,
            residual: self
                .residual
                .as_ref()
                .map(|residual| residual.read(gpu))
                .transpose()?,
        })
    }
}

impl Loaded {
    /// What the device has made of it so far. An error where it has written beside its results.
    pub fn solution(&self, device: &Device) -> Result<Solution> {
        let state = match &self.running {
            Some(running) => Some(self.read_state(device, running)?),
            None => None,
        };
        let gradients = match &self.backward {
            Some((_, gradients)) => Some(gradients.read(&device.gpu)?),
            None => None,
        };
        Ok(Solution {
            y: self.y.read(&device.gpu)?,
            state,
            gradients,
        })
    }

    fn read_state(&self, device: &Device, running: &wgpu::Buffer) -> Result<State> {
        let values: Vec<f32> = device.gpu.blocking_download(Tensor::whole(running))?;
        let packed = Packed::new(self.plan.shape().channels());
        let vector = |index| {
            packed
                .vector(&values, index)
                .expect("the buffer was packed for these channels")
        };
        let counts: Vec<u32> = vector(2).iter().map(|count| count.to_bits()).collect();
        ensure!(
            counts.windows(2).all(|pair| pair[0] == pair[1]),
            "the channels disagree on the number of batches"
        );
        Ok(State {
            mean: vector(0).to_vec(),
            variance: vector(1).to_vec(),
            batches: counts.first().copied().unwrap_or(0),
        })
    }
}
