//! Running a probe: a small shader, whose buffers are one group in the order of their bindings.

use anyhow::{Result, anyhow};
use bytemuck::Pod;
use wgpu_batchnorm::wgpu::{self, util::DeviceExt};
use wgpu_batchnorm::{Gpu, Tensor};

/// What a probe reads.
pub enum Input<'a> {
    /// A uniform buffer.
    Uniform(&'a [u8]),
    /// A storage buffer.
    Storage(&'a [u8]),
}

/// Runs a shader on these inputs; gives so many of its answers, which are in the binding after them.
pub fn run<T: Pod>(
    gpu: &Gpu,
    shader: &str,
    inputs: &[Input<'_>],
    workgroups: u32,
    answers: usize,
) -> Result<Vec<T>> {
    let device = gpu.device();
    let scope = device.push_error_scope(wgpu::ErrorFilter::Validation);
    let label = Some("numerics");
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label,
        source: wgpu::ShaderSource::Wgsl(shader.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label,
        layout: None,
        module: &module,
        entry_point: Some("main"),
        compilation_options: wgpu::PipelineCompilationOptions::default(),
        cache: None,
    });
    let mut buffers: Vec<wgpu::Buffer> = inputs
        .iter()
        .map(|input| {
            let (contents, usage) = match input {
                Input::Uniform(contents) => (contents, wgpu::BufferUsages::UNIFORM),
                Input::Storage(contents) => (contents, wgpu::BufferUsages::STORAGE),
            };
            device.create_buffer_init(&wgpu::util::BufferInitDescriptor {
                label,
                contents,
                usage,
            })
        })
        .collect();
    let words = (answers * size_of::<T>()).div_ceil(4);
    buffers.push(gpu.zeros(words as u64, "answers")?);
    let entries: Vec<_> = (0u32..)
        .zip(&buffers)
        .map(|(binding, buffer)| wgpu::BindGroupEntry {
            binding,
            resource: buffer.as_entire_binding(),
        })
        .collect();
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label,
        layout: &pipeline.get_bind_group_layout(0),
        entries: &entries,
    });
    gpu.run("numerics", |pass| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups(workgroups, 1, 1);
    });
    if let Some(error) = pollster::block_on(scope.pop()) {
        return Err(anyhow!("{error}").context("a probe of the adapter's arithmetic"));
    }
    let [.., last] = &buffers[..] else {
        unreachable!("the answers' buffer was pushed");
    };
    Ok(gpu.blocking_download(Tensor::whole(last))?)
}
