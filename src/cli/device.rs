//! A problem on the device: uploaded, bound, run, read back.

use std::fmt;
use std::sync::Arc;

use anyhow::{Result, ensure};
use serde::Serialize;
use wgpu_batchnorm::{
    Buffers, DeviceLimits, Gpu, GpuOptions, Kernels, Packed, Plan, PlanError, Step, Tensor, wgpu,
};

use super::NO_DEVICE;
use super::adapter::AdapterChoice;
use super::output::{driver, exit, print_error};
use super::problem::{Problem, Solution, State, Statistics};

/// A device and its kernels.
pub struct Device {
    /// The device itself.
    pub gpu: Gpu,
    /// The pipelines made for it so far.
    pub kernels: Kernels,
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

/// Where input and output lie in their buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Placement {
    /// Each fills a buffer of its own.
    Whole,
    /// Each lies in the middle of a buffer, from this byte, among values that must stay as they are.
    Pool {
        /// Byte offset of the input.
        x: u64,
        /// Byte offset of the output.
        y: u64,
    },
}

impl Placement {
    fn offsets(self) -> [u64; 2] {
        match self {
            Self::Whole => [0, 0],
            Self::Pool { x, y } => [x, y],
        }
    }
}

impl fmt::Display for Placement {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [x, y] = self.offsets();
        write!(f, "x at byte {x}, y at {y}")
    }
}

/// What surrounds tensors in a pool: a NaN that no kernel computes.
const GUARD: f32 = f32::from_bits(0x7fc5_a5a5);
/// Guards after a tensor.
const GUARDS_BEHIND: usize = 67;

/// `values` from byte `offset` on, among guards.
fn pooled(values: impl ExactSizeIterator<Item = f32>, offset: u64) -> Vec<f32> {
    let before = offset as usize / 4;
    let mut pool = vec![GUARD; before];
    pool.extend(values);
    pool.resize(pool.len() + GUARDS_BEHIND, GUARD);
    pool
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
        Ok(Self { gpu, kernels })
    }

    /// What the adapter is called, and what drives it.
    pub fn info(&self) -> wgpu::AdapterInfo {
        self.gpu.adapter().get_info()
    }

    fn plan(&self, problem: &Problem) -> Result<Plan, PlanError> {
        let limits = self.kernels.limits();
        match &problem.statistics {
            // Saved, as in a training loop: a backward pass follows there.
            Statistics::Batch(_) => {
                Plan::training(limits, problem.shape, &problem.training().saved(true))
            }
            Statistics::Given(_) => Plan::inference(limits, problem.shape, &problem.inference()),
        }
    }

    /// Uploads a problem and binds its step.
    pub fn load(&self, problem: &Problem, placement: Placement) -> Result<Loaded> {
        // First, as it is what rejects impossible problems.
        let plan = self.plan(problem)?;
        let gpu = &self.gpu;
        let [x_offset, y_offset] = placement.offsets();
        let len = problem.shape.len();
        let (x, y) = match placement {
            Placement::Whole => (gpu.upload(&problem.x, "x")?, gpu.zeros(len, "y")?),
            Placement::Pool { .. } => (
                gpu.upload(&pooled(problem.x.iter().copied(), x_offset), "x")?,
                gpu.upload(&pooled((0..problem.x.len()).map(|_| GUARD), y_offset), "y")?,
            ),
        };
        let packed = Packed::new(problem.shape.channels());
        let vector = |values: &Option<Vec<f32>>, label| {
            values
                .as_ref()
                .map(|values| gpu.upload(values, label))
                .transpose()
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

        let mut buffers = Buffers::new(
            Tensor::new(&x, x_offset, len),
            Tensor::new(&y, y_offset, len),
        )
        .label("wgpu-batchnorm");
        if let Some(gamma) = &gamma {
            buffers = buffers.gamma(Tensor::whole(gamma));
        }
        if let Some(beta) = &beta {
            buffers = buffers.beta(Tensor::whole(beta));
        }
        if let Some(running) = &running {
            buffers = buffers.running(Tensor::whole(running));
        }
        if let Some(saved) = &saved {
            buffers = buffers.saved(Tensor::whole(saved));
        }
        let step = pollster::block_on(plan.bind_checked(&self.kernels, buffers))?;
        Ok(Loaded {
            plan,
            step,
            y,
            running,
            y_offset,
        })
    }

    /// Loads a problem, runs its step once and reads the result back.
    pub fn solve(&self, problem: &Problem, placement: Placement) -> Result<Solution> {
        let loaded = self.load(problem, placement)?;
        self.gpu
            .run("wgpu-batchnorm", |pass| loaded.step.record(pass));
        loaded.solution(self)
    }
}

/// A problem on the device, ready to run.
pub struct Loaded {
    plan: Plan,
    step: Step,
    y: wgpu::Buffer,
    running: Option<wgpu::Buffer>,
    y_offset: u64,
}

impl Loaded {
    /// What the device has made of it so far. An error where it has written beside its output.
    pub fn solution(&self, device: &Device) -> Result<Solution> {
        let mut y: Vec<f32> = device.gpu.blocking_download(Tensor::whole(&self.y))?;
        let start = self.y_offset as usize / 4;
        let behind = y.split_off(start + self.plan.shape().len() as usize);
        let own = y.split_off(start);
        let strays = y
            .iter()
            .chain(&behind)
            .filter(|value| value.to_bits() != GUARD.to_bits())
            .count();
        ensure!(
            strays == 0,
            "{strays} values beside the output were overwritten"
        );

        let state = match &self.running {
            Some(running) => Some(self.read_state(device, running)?),
            None => None,
        };
        Ok(Solution { y: own, state })
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
