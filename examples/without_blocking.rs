//! From the adapter to the values read back without a call that blocks, as a browser needs it and as an async program
//! likes it.
//!
//! `cargo run --release --example without_blocking`

use anyhow::Result;
use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Layer, LayerOptions, Plan, Shape, Tensor};

fn main() -> Result<()> {
    // Any executor will do. On the web, where no thread may wait, this line is
    // `wasm_bindgen_futures::spawn_local(async { run().await.expect("...") })`, and the rest stays as it is.
    pollster::block_on(run())
}

async fn run() -> Result<()> {
    let gpu = Gpu::request(&GpuOptions::default()).await?;
    let kernels = Kernels::new(gpu.device());
    let layer = Layer::new(gpu.device(), 3, &LayerOptions::default())?;

    let shape = Shape::channels_first(&[2, 3, 2, 2])?;
    let values: Vec<f32> = (0..24u8).map(f32::from).collect();
    let x = gpu.upload(&values, "x")?;
    let y = gpu.zeros(shape.len(), "y")?;

    // `bind_checked` also reports what only the device can tell; a browser answers once its shaders are compiled.
    let plan = Plan::training(
        kernels.limits(),
        shape,
        &layer.training_options().saved(false),
    )?;
    let buffers = layer.buffers(Tensor::whole(&x), Tensor::whole(&y));
    let step = plan.bind_checked(&kernels, buffers).await?;

    gpu.run("training", |pass| step.record(pass));

    // Both calls submit their copies at once, so that each sees what was submitted before it and nothing after. Only the
    // futures wait.
    let y = gpu.download::<f32>(Tensor::whole(&y));
    let state = layer.read(gpu.device(), gpu.queue());

    // The host is free meanwhile, and so is the queue.
    gpu.run("the next step", |pass| step.record(pass));

    // Somebody has to poll the device until the copies are there. In a browser the page's own loop does. Natively each of these
    // futures has a thread wait for it, so that it ends under any executor and keeps none busy.
    let (y, state) = (y.await?, state.await?);

    println!("image 0, channel 0: {:6.3?}", &y[..4]);
    println!("running mean: {:?}", state.running_mean);
    println!("batches: {:?}", state.batches); // 1: the next step is not in it
    Ok(())
}
