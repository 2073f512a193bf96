//! A training loop on the device: two linear layers with batch norm and ReLU between them, softmax with cross-entropy, and
//! gradient descent. A step is recorded into one pass and reads nothing back.
//!
//! `cargo run --release --example train`
//!
//! ```text
//! x ── linear ──▶ batch norm and ReLU ──▶ linear ──▶ cross-entropy
//!        ▲               ▲                  ▲             │
//!        └───────────────┴──── descent ─────┴── gradients ┘
//! ```
//!
//! `train/pipeline.rs` is the network. Batch norm is `Plan::training` and `Plan::backward` of a [`Layer`]; the rest is plain
//! WGSL beside it.
//!
//! [`Layer`]: wgpu_batchnorm::Layer

#[path = "train/pipeline.rs"]
mod pipeline;

use anyhow::{Result, ensure};
use pipeline::{Network, Sizes, spirals, weights};
use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Statistics};

fn main() -> Result<()> {
    let gpu = Gpu::blocking(&GpuOptions::from_env())?;
    let kernels = Kernels::new(gpu.device());
    let sizes = Sizes {
        rows: 300,
        inputs: 2,
        hidden: 32,
        classes: 3,
    };
    let (x, labels) = spirals(sizes.rows);
    let initial = [
        weights(sizes.inputs * sizes.hidden),
        weights((sizes.hidden + 1) * sizes.classes),
    ];
    let [first, second] = &initial;
    let network = Network::new(&gpu, sizes, &x, &labels, [first, second])?;

    // Bound once, recorded as often as there are steps.
    let training = network.training_step(&gpu, &kernels, Statistics::Batch, 0.5)?;
    let mut losses = vec![];
    for step in 1..=200 {
        training.run(&gpu);
        if step % 40 == 1 {
            losses.push(network.loss(&gpu)?);
            println!("step {step:3}: loss {:.4}", losses[losses.len() - 1]);
        }
    }

    // The statistics frozen, as in fine-tuning: the running ones normalize, gamma and beta go on learning.
    let frozen = network.training_step(&gpu, &kernels, Statistics::Fixed, 0.05)?;
    for step in 1..=41 {
        frozen.run(&gpu);
        if step % 40 == 1 {
            losses.push(network.loss(&gpu)?);
            println!(
                "frozen statistics, step {step:2}: loss {:.4}",
                losses[losses.len() - 1]
            );
        }
    }
    ensure!(
        losses[losses.len() - 1] < 0.5 * losses[0],
        "the loss has not fallen: {losses:?}"
    );
    Ok(())
}
