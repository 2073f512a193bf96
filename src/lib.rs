//! Batch normalization as WGSL compute shaders, for anyone's wgpu pipeline.
//!
//! ```text
//! mean = sum(x) / n        var = sum((x - mean)^2) / n        invstd = 1 / sqrt(var + epsilon)
//! y = (x - mean) * invstd * gamma + beta
//! ```
//!
//! per channel, over its `n` values (Ioffe and Szegedy, 2015). [`Plan::training`] takes mean and variance from the batch
//! and moves the running statistics; [`Plan::inference`] takes them as given. All of it is f32, in any layout.
//!
//! # Four steps
//!
//! ```text
//!   describe                 plan                   bind                     record
//!
//!   Shape                                           Kernels
//!   Training / Inference ──▶ Plan ────────────────▶ Buffers ──▶ Step ──────▶ your compute pass
//!   Limits                   which dispatches:      checked once,            cheap, cannot fail,
//!                            pure arithmetic        objects made once        creates nothing
//! ```
//!
//! 1. **Describe.** A [`Shape`] reduces any layout to one triple. [`Training`] and [`Inference`] are the options.
//! 2. **Plan.** A [`Plan`] is the list of dispatches for a device's [`Limits`]. It knows no GPU. It tells how much
//!    workspace it needs and what it will run.
//! 3. **Bind.** [`Plan::bind`] ties a plan to [`Buffers`] and checks everything that can be wrong. One plan binds any
//!    number of times.
//! 4. **Record.** [`Step::record`] writes the dispatches into a compute pass of yours. A step is recorded any number of
//!    times.
//!
//! ```no_run
//! use wgpu_batchnorm::{Buffers, Gpu, GpuOptions, Kernels, Packed, Plan, Shape, Tensor, Training};
//!
//! // Any wgpu device and queue will do; `Gpu` is a short way to one.
//! let gpu = Gpu::blocking(&GpuOptions::default())?;
//! let kernels = Kernels::new(gpu.device());
//!
//! let shape = Shape::channels_first(&[32, 64, 56, 56])?;
//! let x = gpu.upload(&vec![1.0f32; shape.len() as usize], "x")?;
//! let y = gpu.zeros(shape.len(), "y")?;
//!
//! // gamma 1 and beta 0; running mean 0, running variance 1 and no batches yet; room for what backward needs.
//! let packed = Packed::new(shape.channels());
//! let (zeros, ones) = (vec![0.0; 64], vec![1.0; 64]);
//! let parameters = gpu.upload(&packed.pack(&[&ones, &zeros])?, "parameters")?;
//! let running = gpu.upload(&packed.pack(&[&zeros, &ones, &zeros])?, "running")?;
//! let saved = gpu.zeros(packed.saved(), "saved")?;
//!
//! let plan = Plan::training(kernels.limits(), shape, &Training::default())?;
//! let step = plan.bind(
//!     &kernels,
//!     Buffers::new(Tensor::whole(&x), Tensor::whole(&y))
//!         .parameters(Tensor::whole(&parameters))
//!         .running(Tensor::whole(&running))
//!         .saved(Tensor::whole(&saved)),
//! )?;
//!
//! let mut encoder = gpu.device().create_command_encoder(&Default::default());
//! let mut pass = encoder.begin_compute_pass(&Default::default());
//! step.record(&mut pass); // among your own shaders
//! drop(pass);
//! gpu.queue().submit([encoder.finish()]);
//!
//! let y: Vec<f32> = gpu.blocking_download(Tensor::whole(&y))?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Who owns what
//!
//! You own the device, the queue, the encoder, the pass and the tensors. A [`Tensor`] is a range of a buffer: an offset
//! that is any multiple of 4, and a length. Several tensors may share one buffer, and `y` may be `x`. The crate makes
//! pipelines (kept in [`Kernels`]) and, in [`Plan::bind`], bind groups, a small uniform buffer and a workspace that you may
//! give instead.
//!
//! Nothing submits or waits but the conveniences that say so: [`Gpu::run`] submits; [`Gpu::wait`] waits; the reads of
//! [`Gpu`] and [`Layer`] submit a copy and wait for it. [`Step::record`] sets the pass's pipeline and bind group 0.
//!
//! What waits comes twice: as a future ([`Gpu::request`], [`Plan::bind_checked`], [`Gpu::download`], [`Layer::read`]), and
//! natively as a call that blocks. The futures run under any executor, in a browser too; those that read back poll the
//! device themselves, as [`Gpu::download`] says.
//!
//! # Vectors per channel
//!
//! gamma and beta travel in one tensor, and so do the running statistics and what is saved for the backward pass.
//! [`Packed`] says how: each vector starts at a multiple of 256 bytes, so that an optimizer can bind it alone. gamma and
//! beta in tensors of their own are taken too ([`Buffers::gamma`], [`Buffers::beta`]), as are fixed statistics
//! ([`Buffers::statistics`]). A [`Layer`] holds all of them and reads and writes PyTorch's `.safetensors` names.
//!
//! # Numbers
//!
//! - Statistics are one read of `x`. Values are summed in blocks, as deviations from a value near them, and blocks are
//!   merged by count, mean and sum of squared deviations (Chan, Golub and LeVeque, 1979). Sums of squares, which lose
//!   the variance at large means, are not used.
//! - The mean is kept in two f32 parts, `hi` and `lo`. The result is `(x - hi) * s + t`, where `s = gamma * invstd` and
//!   `t = beta - lo * s`. So a mean of a million with a deviation of one costs no digits of `y`.
//! - Training with a NaN or an infinity in a channel makes that channel NaN and no other. In inference it touches its own
//!   element only. A driver may be free to assume that there are none: WGSL permits it.
//! - An empty batch computes nothing and leaves the running statistics as they are. One value per channel is an error in
//!   training where the running variance is unbiased.
//! - The same device, driver and plan give the same bits.
//!
//! [`mod@reference`] has every stage in f64, written plainly from the formulas: what the shaders are tested against.
//! [`cpu`] is the fast path of the processor, with the numbers of the shaders. [`yardstick`] is the copy kernel that speeds
//! are measured against.
//!
//! # Examples
//!
//! Each is one short file of the repository and of the package; `cargo run --release --example forward` runs the first.
//!
//! - `examples/forward.rs`: the smallest use in a pipeline, with an encoder and a pass of its own.
//! - `examples/pytorch_layer.rs`: a [`Layer`] out of a PyTorch model's file, trained, inferred with and saved.
//! - `examples/shared_pool.rs`: two layers and somebody else's shader in one pass, all tensors in one buffer.
//! - `examples/without_blocking.rs`: no call that blocks, as browsers need it, and who polls the device.
//!
//! # Features
//!
//! | feature | what it adds | by default |
//! |---|---|---|
//! | `vulkan` | wgpu's backend for Vulkan: Linux, Windows, Android; no effect elsewhere | yes |
//! | `metal` | wgpu's backend for Metal: macOS and iOS; no effect elsewhere | yes |
//! | `dx12` | wgpu's backend for Direct3D 12: Windows; no effect elsewhere | yes |
//! | `gles` | wgpu's backend for OpenGL ES, where there is no driver for the others | yes |
//! | `webgpu` | wgpu's backend for the WebGPU of a browser; no effect but on `wasm32-unknown-unknown` | no |
//! | `cli` | the command `wgpu-batchnorm` and what it depends on; nothing in the library | yes |
//!
//! Without any backend the library compiles, but finds no adapter.
//!
//! As a dependency, turn the command off: `default-features = false, features = ["vulkan"]`. wgpu is re-exported as
//! [`wgpu`](mod@wgpu); its major version is part of this API.
//!
//! The page [`architecture`] says how the crate works inside, and how to add to it.

#![forbid(unsafe_code)]
#![cfg_attr(
    target_family = "wasm",
    allow(
        clippy::arc_with_non_send_sync,
        reason = "wgpu's objects stay on their thread in a browser; natively the same `Arc`s cross threads"
    )
)]

// The README's example is a test as well.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
struct Readme;

#[cfg(doc)]
#[doc = include_str!("../docs/architecture.md")]
pub mod architecture {}

mod activation;
mod bind;
pub mod cpu;
mod element;
mod error;
mod fold;
mod gpu;
mod header;
mod kernels;
mod layer;
mod limits;
mod options;
mod packed;
mod plan;
pub mod reference;
mod shape;
mod step;
mod tensor;
mod transfer;
mod tuning;
pub mod yardstick;

pub use activation::{Activation, Derivative};
pub use element::Element;
pub use error::{BindError, HostError, LengthError, PlanError, ShapeError, VectorLengthError};
pub use fold::{Folded, Weights, fold_into};
pub use gpu::{DeviceLimits, Gpu, GpuError, GpuOptions};
pub use header::HeaderError;
#[doc(hidden)]
pub use header::{Extents, check_header, header_bytes};
pub use kernels::Kernels;
pub use layer::{Layer, LayerError, LayerOptions, LayerState, layers_to_safetensors};
#[cfg(not(target_family = "wasm"))]
pub use layer::{load_layers, save_layers};
pub use limits::{AdapterKind, Limits, SubgroupSizes};
pub use options::{
    Backward, DEFAULT_EPSILON, Gradient, Inference, Running, RunningVariance, Statistics, Training,
    Update,
};
pub use packed::Packed;
pub use plan::{Combine, DispatchInfo, Plan, Stage, Walk};
pub use shape::Shape;
pub use step::{Part, Step};
pub use tensor::{Buffers, Tensor};
pub use transfer::TransferError;
pub use tuning::{Team, Tuning};
pub use wgpu;
