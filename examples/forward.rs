//! The smallest use in a pipeline: normalize a batch by its own statistics, in a compute pass of your own.
//!
//! `cargo run --release --example forward`

use anyhow::Result;
use wgpu_batchnorm::{Buffers, Gpu, GpuOptions, Kernels, Packed, Plan, Shape, Tensor, Training};

fn main() -> Result<()> {
    // Any wgpu device and queue will do; `Gpu` is a short way to one.
    let gpu = Gpu::blocking(&GpuOptions::from_env())?;
    let kernels = Kernels::new(gpu.device());

    // Two images of 3 channels and 2 x 2 pixels, one after another.
    let shape = Shape::channels_first(&[2, 3, 2, 2])?;
    let values: Vec<f32> = (0..24u8).map(f32::from).collect();
    let x = gpu.upload(&values, "x")?;
    let y = gpu.zeros(shape.len(), "y")?;

    // gamma and beta in one buffer.
    let packed = Packed::new(shape.channels());
    let parameters = packed.pack(&[&[1.0, 1.0, 2.0], &[0.0, 10.0, 0.0]])?;
    let parameters = gpu.upload(&parameters, "parameters")?;

    // Describe, plan, bind: once. No running statistics here, and nothing kept for a backward pass.
    let options = Training::default().running(None).saved(false);
    let plan = Plan::training(kernels.limits(), shape, &options)?;
    let buffers =
        Buffers::new(Tensor::whole(&x), Tensor::whole(&y)).parameters(Tensor::whole(&parameters));
    let step = plan.bind(&kernels, buffers)?;

    // Record: as often as you like, into your own pass among your own shaders.
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    let mut pass = encoder.begin_compute_pass(&Default::default());
    step.record(&mut pass);
    drop(pass);
    gpu.queue().submit([encoder.finish()]);

    let y: Vec<f32> = gpu.blocking_download(Tensor::whole(&y))?;
    for (image, values) in y.chunks(12).enumerate() {
        for (channel, values) in values.chunks(4).enumerate() {
            println!("image {image}, channel {channel}: {values:6.3?}");
        }
    }
    Ok(())
}
