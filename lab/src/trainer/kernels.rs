//! The trainer's own shaders, bound to buffers.

use std::cell::RefCell;
use std::collections::HashMap;

use wgpu_batchnorm::{Gpu, TransferError, wgpu};

/// Workgroups in one dimension that every device has.
const MOST_WORKGROUPS: u32 = 65_535;
/// Rows and columns of the tile of a product that a workgroup computes.
const TILE: u64 = 32;

/// A shader of `lab/shaders`, and which of its entry points.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kernel {
    Product,
    Gather,
    Advance,
    Activate,
    ActivationGradient,
    Loss,
    Summary,
    GradientNorm,
    Optimizer,
}

impl Kernel {
    fn text(self) -> (&'static str, &'static str) {
        match self {
            Self::Product => (include_str!("../../shaders/product.wgsl"), "main"),
            Self::Gather => (include_str!("../../shaders/gather.wgsl"), "main"),
            Self::Advance => (include_str!("../../shaders/advance.wgsl"), "main"),
            Self::Activate => (include_str!("../../shaders/activation.wgsl"), "forward"),
            Self::ActivationGradient => (include_str!("../../shaders/activation.wgsl"), "backward"),
            Self::Loss => (include_str!("../../shaders/loss.wgsl"), "main"),
            Self::Summary => (include_str!("../../shaders/summary.wgsl"), "main"),
            Self::GradientNorm => (include_str!("../../shaders/gradient_norm.wgsl"), "main"),
            Self::Optimizer => (include_str!("../../shaders/optimizer.wgsl"), "main"),
        }
    }

    /// Whether its text goes after `flat.wgsl`.
    fn has_parameters_of_its_own(self) -> bool {
        matches!(self, Self::Product | Self::Advance)
    }
}

/// The pipelines of a device, made when they are first needed.
#[derive(Debug)]
pub(super) struct Shaders {
    gpu: Gpu,
    pipelines: RefCell<HashMap<Kernel, wgpu::ComputePipeline>>,
}

/// A shader with its buffers and its grid.
#[derive(Debug)]
pub(super) struct Dispatch {
    pipeline: wgpu::ComputePipeline,
    group: wgpu::BindGroup,
    grid: [u32; 3],
}

impl Dispatch {
    pub(super) fn record(&self, pass: &mut wgpu::ComputePass<'_>) {
        pass.set_pipeline(&self.pipeline);
        pass.set_bind_group(0, &self.group, &[]);
        let [x, y, z] = self.grid;
        pass.dispatch_workgroups(x, y, z);
    }
}

/// A grid of so many lanes, folded where one dimension has no room for it.
pub(super) fn lanes(count: u64) -> [u32; 3] {
    let groups = count.div_ceil(64).max(1);
    let across = groups.min(MOST_WORKGROUPS.into());
    [across as u32, groups.div_ceil(across) as u32, 1]
}

/// A grid of a workgroup for each member.
pub(super) fn one_per_member(members: u64) -> [u32; 3] {
    [members as u32, 1, 1]
}

/// A grid of a workgroup for each tile of each member's product.
pub(super) fn tiles(rows: u64, columns: u64, members: u64) -> [u32; 3] {
    [
        columns.div_ceil(TILE) as u32,
        rows.div_ceil(TILE) as u32,
        members as u32,
    ]
}

impl Shaders {
    pub(super) fn new(gpu: &Gpu) -> Self {
        Self {
            gpu: gpu.clone(),
            pipelines: RefCell::default(),
        }
    }

    fn pipeline(&self, kernel: Kernel) -> wgpu::ComputePipeline {
        let make = || {
            let (text, entry) = kernel.text();
            let text = if kernel.has_parameters_of_its_own() {
                text.to_owned()
            } else {
                format!("{}\n{text}", include_str!("../../shaders/flat.wgsl"))
            };
            let device = self.gpu.device();
            let label = format!("{kernel:?}");
            let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
                label: Some(&label),
                source: wgpu::ShaderSource::Wgsl(text.into()),
            });
            device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
                label: Some(&label),
                layout: None,
                module: &module,
                entry_point: Some(entry),
                compilation_options: wgpu::PipelineCompilationOptions::default(),
                cache: None,
            })
        };
        let mut pipelines = self.pipelines.borrow_mut();
        pipelines.entry(kernel).or_insert_with(make).clone()
    }

    /// Binds a shader: its parameters at 0, where it has any, and buffers at the numbers given.
    pub(super) fn bind(
        &self,
        kernel: Kernel,
        parameters: &[u32],
        buffers: &[(u32, &wgpu::Buffer)],
        grid: [u32; 3],
    ) -> Result<Dispatch, TransferError> {
        let pipeline = self.pipeline(kernel);
        let own = match parameters {
            [] => None,
            _ => Some(self.gpu.upload(parameters, "parameters")?),
        };
        let own = own.as_ref().map(|own| (0, own));
        let bound = own.iter().chain(buffers);
        let entries: Vec<_> = bound
            .map(|&(binding, buffer)| wgpu::BindGroupEntry {
                binding,
                resource: buffer.as_entire_binding(),
            })
            .collect();
        let group = self
            .gpu
            .device()
            .create_bind_group(&wgpu::BindGroupDescriptor {
                label: Some(&format!("{kernel:?}")),
                layout: &pipeline.get_bind_group_layout(0),
                entries: &entries,
            });
        Ok(Dispatch {
            pipeline,
            group,
            grid,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_have_a_lane_for_each_value_and_fit_every_device() {
        for count in [0, 1, 64, 65, 64 * 65_535, 64 * 65_535 + 1, 100_000_000] {
            let [x, y, z] = lanes(count);
            assert!(u64::from(x) * u64::from(y) * 64 >= count);
            assert!(x <= MOST_WORKGROUPS && y <= MOST_WORKGROUPS && z == 1);
        }
        assert_eq!(tiles(33, 10, 7), [1, 2, 7]);
    }
}
