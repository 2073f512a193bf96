//! A layer out of a PyTorch model's `.safetensors` file: three training steps, one of inference, and back to a file.
//!
//! `cargo run --release --example pytorch_layer`
//!
//! The file holds the batches too, and what PyTorch's own layer was after the same three steps.

use std::fs;

use anyhow::{Context, Result, ensure};
use safetensors::SafeTensors;
use wgpu_batchnorm::{
    Gpu, GpuOptions, Kernels, Layer, LayerOptions, LayerState, Plan, Shape, Tensor,
};

const FILE: &str = concat!(
    env!("CARGO_MANIFEST_DIR"),
    "/tests/data/pytorch_layer.safetensors"
);

fn main() -> Result<()> {
    let gpu = Gpu::blocking(&GpuOptions::from_env())?;
    let kernels = Kernels::new(gpu.device());

    // `BatchNorm2d(5)` with PyTorch's defaults. The prefix is the layer's name in the model's `state_dict`; weight, bias,
    // running_mean, running_var and num_batches_tracked follow it.
    let layer = Layer::new(gpu.device(), 5, &LayerOptions::default())?;
    layer.load(gpu.queue(), FILE, "model.stem.1.")?;

    // Batches of 4 images of 5 channels and 3 x 3 pixels. `saved(false)`: no backward pass follows.
    let shape = Shape::channels_first(&[4, 5, 3, 3])?;
    let training = layer.training_options().saved(false);
    let training = Plan::training(kernels.limits(), shape, &training)?;
    let inference = Plan::inference(kernels.limits(), shape, &layer.inference_options())?;

    let bytes = fs::read(FILE)?;
    let batches = SafeTensors::deserialize(&bytes)?;
    let y = gpu.zeros(shape.len(), "y")?;
    for name in ["x.0", "x.1", "x.2"] {
        let x = gpu.upload(batches.tensor(name)?.data(), name)?;
        let buffers = layer.buffers(Tensor::whole(&x), Tensor::whole(&y));
        let step = training.bind(&kernels, buffers)?;
        gpu.run(name, |pass| step.record(pass));
    }

    // The running statistics have moved as PyTorch's have.
    let state = layer.blocking_read(gpu.device(), gpu.queue())?;
    let pytorch = LayerState::load(FILE, "exponential.")?;
    for (name, ours, theirs) in [
        ("mean", &state.running_mean, &pytorch.running_mean),
        (
            "variance",
            &state.running_variance,
            &pytorch.running_variance,
        ),
    ] {
        let (ours, theirs) = ours.iter().zip(theirs).next().context("not in the file")?;
        println!("running {name:8} {ours:8.5?}, PyTorch's {theirs:8.5?}");
        let near = |(a, b): (&f32, &f32)| (a - b).abs() <= 1e-5;
        ensure!(ours.iter().zip(theirs).all(near), "not PyTorch's {name}");
    }

    // Inference normalizes by them, whatever is in the batch; in place here.
    let y = Tensor::whole(&y);
    let step = inference.bind(&kernels, layer.buffers(y, y))?;
    gpu.run("inference", |pass| step.record(pass));
    let y: Vec<f32> = gpu.blocking_download(y)?;
    println!("the first image's first channel: {:6.3?}", &y[..9]);

    // For `load_state_dict` in PyTorch.
    let path = std::env::temp_dir().join("wgpu-batchnorm-example.safetensors");
    layer.save(gpu.device(), gpu.queue(), &path, "model.stem.1.")?;
    println!("saved as {}", path.display());
    Ok(())
}
