//! A network in one buffer and one compute pass: two layers with somebody else's shader between them, all of their
//! tensors at offsets in one pool, as the allocators of frameworks hand them out.
//!
//! `cargo run --release --example shared_pool`
//!
//! ```text
//! x ── batch norm ──▶ h ── square (not ours), in place ──▶ h ── batch norm, in place ──▶ h
//! ```

use anyhow::{Result, ensure};
use wgpu_batchnorm::{
    Buffers, Gpu, GpuOptions, Kernels, Packed, Plan, Shape, Tensor, Training, wgpu,
};

/// Squares the values of the pool from `FIRST` on.
const SQUARE: &str = "
    override FIRST: u32;
    override COUNT: u32;
    @group(0) @binding(0) var<storage, read_write> pool: array<f32>;
    @compute @workgroup_size(64)
    fn main(@builtin(global_invocation_id) id: vec3<u32>) {
        if id.x < COUNT { pool[FIRST + id.x] *= pool[FIRST + id.x]; }
    }";

fn main() -> Result<()> {
    let gpu = Gpu::blocking(&GpuOptions::from_env())?;
    let (device, queue) = (gpu.device(), gpu.queue());
    let kernels = Kernels::new(device);

    let shape = Shape::channels_last(&[1000, 6])?;
    let options = Training::default().running(None).saved(false);
    let plan = Plan::training(kernels.limits(), shape, &options)?;

    // Where each tensor starts, in bytes. Any multiple of 4 will do: neighbours that are too close for bindings of their
    // own share one. Multiples of 16 are read and written four values at a time. The workspace is bound at a multiple of
    // 256; steps of one pass use it one after another.
    let packed = Packed::new(shape.channels());
    let mut end = 0;
    let mut place = |values: u64, alignment: u64| {
        let start = u64::next_multiple_of(end, alignment);
        end = start + 4 * values;
        (start, values)
    };
    let workspace = place(plan.workspace_bytes() / 4, 256);
    let parameters = place(packed.parameters(), 16);
    let x = place(shape.len(), 16);
    let h = place(shape.len(), 16);
    let pool = gpu.zeros(end.div_ceil(4), "pool")?;
    let tensor = |(offset, values)| Tensor::new(&pool, offset, values);
    let (workspace, parameters) = (tensor(workspace), tensor(parameters));
    let (x, h) = (tensor(x), tensor(h));

    let write = |tensor: Tensor<'_>, values: &[f32]| {
        queue.write_buffer(&pool, tensor.offset(), bytemuck::cast_slice(values));
    };
    let values: Vec<f32> = (0..6000u16).map(|i| f32::from(i * 7 % 1013)).collect();
    write(x, &values);
    write(parameters, &packed.pack(&[&[2.0; 6], &[1.0; 6]])?);

    // One plan, bound twice. Where it needs no workspace it takes none.
    let bind = |x, y| {
        let mut buffers = Buffers::new(x, y).parameters(parameters);
        if plan.workspace_bytes() > 0 {
            buffers = buffers.workspace(workspace);
        }
        plan.bind(&kernels, buffers)
    };
    let (first, second) = (bind(x, h)?, bind(h, h)?);

    let (square, group) = square(device, h);
    let mut encoder = device.create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    first.record(&mut pass);
    // A recorded step leaves its own pipeline and bind group 0 behind.
    pass.set_pipeline(&square);
    pass.set_bind_group(0, &group, &[]);
    pass.dispatch_workgroups(h.len().div_ceil(64) as u32, 1, 1);
    second.record(&mut pass);
    drop(pass);
    queue.submit([encoder.finish()]);

    // gamma 2 and beta 1: every channel has the mean 1 and the deviation 2.
    let y: Vec<f32> = gpu.blocking_download(h)?;
    for channel in 0..6 {
        let values = || y.iter().skip(channel).step_by(6);
        let mean = values().sum::<f32>() / 1000.0;
        let deviation = (values().map(|v| (v - mean).powi(2)).sum::<f32>() / 1000.0).sqrt();
        println!("channel {channel}: mean {mean:.4}, deviation {deviation:.4}");
        ensure!((mean - 1.0).abs() < 1e-3 && (deviation - 2.0).abs() < 1e-3);
    }
    Ok(())
}

/// Somebody else's pipeline, bound to the whole pool.
fn square(device: &wgpu::Device, tensor: Tensor<'_>) -> (wgpu::ComputePipeline, wgpu::BindGroup) {
    let module = device.create_shader_module(wgpu::ShaderModuleDescriptor {
        label: Some("square"),
        source: wgpu::ShaderSource::Wgsl(SQUARE.into()),
    });
    let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
        label: Some("square"),
        layout: None,
        module: &module,
        entry_point: None,
        compilation_options: wgpu::PipelineCompilationOptions {
            constants: &[
                ("FIRST", (tensor.offset() / 4) as f64),
                ("COUNT", tensor.len() as f64),
            ],
            ..Default::default()
        },
        cache: None,
    });
    let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
        label: Some("square"),
        layout: &pipeline.get_bind_group_layout(0),
        entries: &[wgpu::BindGroupEntry {
            binding: 0,
            resource: tensor.buffer().as_entire_binding(),
        }],
    });
    (pipeline, group)
}
