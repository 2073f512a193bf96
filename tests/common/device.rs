//! The devices that the tests run on. Without an adapter they fail.

use std::sync::OnceLock;

use wgpu_batchnorm::wgpu::{self, Features, InstanceFlags};
use wgpu_batchnorm::{DeviceLimits, Gpu, GpuOptions, Kernels, Limits};

use super::messages;

/// A device and the kernels made for it so far.
#[derive(Clone, Debug)]
pub struct Device {
    pub gpu: Gpu,
    pub kernels: Kernels,
    /// The limits that plans are made for.
    pub limits: Limits,
}

impl Device {
    pub fn new(options: GpuOptions) -> Self {
        messages::collect();
        // also in release builds; the layers report to wgpu only with DEBUG
        let options = options.flags(InstanceFlags::VALIDATION | InstanceFlags::DEBUG);
        let gpu = Gpu::blocking(&options).expect("these tests need an adapter");
        let kernels = Kernels::new(gpu.device());
        Self {
            limits: kernels.limits().clone(),
            gpu,
            kernels,
        }
    }

    /// This device, taken for a smaller one.
    pub fn limited(&self, change: impl FnOnce(&mut Limits)) -> Self {
        let mut limits = self.limits.clone();
        change(&mut limits);
        Self {
            kernels: Kernels::limited(self.gpu.device(), limits.clone()),
            limits,
            ..self.clone()
        }
    }
}

/// Default limits and no features: what every WebGPU device has.
pub fn bare() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new(GpuOptions::from_env().optional_features(Features::empty())))
}

/// Default limits, and subgroups where the adapter has them.
pub fn with_subgroups() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new(GpuOptions::from_env().optional_features(Features::SUBGROUP)))
}

/// All limits of the adapter.
pub fn unlimited() -> &'static Device {
    static DEVICE: OnceLock<Device> = OnceLock::new();
    DEVICE.get_or_init(|| Device::new(GpuOptions::from_env().limits(DeviceLimits::Adapter)))
}

/// A pipeline of a shader with one entry point, and its group of these whole buffers, bound from 0 on.
pub fn pipeline(
    device: &wgpu::Device,
    text: String,
    buffers: &[&wgpu::Buffer],
) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: None,
        source: wgpu::ShaderSource::Wgsl(text.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: None,
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: Default::default(),
        cache: None,
    });
    let entries: Vec<_> = (0..)
        .zip(buffers)
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: None,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    (pipeline, group)
}
