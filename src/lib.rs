//! Batch normalization as WGSL compute shaders, for anyone's wgpu pipeline.
//!
//! ```text
//! mean = sum(x) / n        var = sum((x - mean)^2) / n        invstd = 1 / sqrt(var + epsilon)
//! y = activation((x - mean) * invstd * gamma + beta + residual)
//! ```
//!
//! per channel, over its `n` values (Ioffe and Szegedy, 2015). [`Plan::training`] takes mean and variance from the batch
//! and moves the running statistics; [`Plan::inference`] takes them as given; [`Plan::backward`] goes back through either.
//! Tensors are f32, f16 or bf16, in any layout. Residual and activation are there where you ask for them.
//!
//! # Four steps
//!
//! ```text
//!   describe                 plan                   bind                     record
//!
//!   Shape, Limits                                   Kernels
//!   Training, Inference ───▶ Plan ────────────────▶ Buffers ──▶ Step ──────▶ your compute pass
//!   or Backward              which dispatches:      checked once,            cheap, cannot fail,
//!                            pure arithmetic        objects made once        creates nothing
//! ```
//!
//! 1. **Describe.** A [`Shape`] reduces any layout to one triple. [`Training`], [`Inference`] and
//!    [`Backward`] are the options.
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
//! # Backward
//!
//! [`Plan::backward`] goes from the gradient of `y` to those of `x`, gamma, beta and the residual; [`Backward`] has the
//! formulas. Its options are made from those of the forward pass: [`Training`], whose statistics depend on `x`, or
//! [`Inference`], whose statistics are frozen. It reads `x` once more, and what training has saved: the batch's mean and
//! inverse deviation.
//!
//! Each gradient is written, added to what is there (for batches in several turns), or skipped, as [`Gradient`] says. That of
//! `x` may take the place of that of `y`. Those of gamma and beta lie as gamma and beta do, so that one optimizer step over
//! two tensors of [`Packed::parameters`] moves both. `examples/train.rs` is a whole training loop, [`Layer::backward_buffers`]
//! a short one.
//!
//! # Residual and activation
//!
//! `residual(true)` and `activation(...)` of the options add a tensor of the shape of `x` and apply an [`Activation`] where the
//! values are stored anyway: the residual costs its own read, the activation no traffic at all.
//!
//! ```
//! use wgpu_batchnorm::{Activation, Backward, Derivative, Inference, Limits, Plan, Shape, Training};
//!
//! let (limits, shape) = (Limits::default(), Shape::channels_first(&[32, 64, 56, 56])?);
//! let options = Training::default().activation(Activation::Relu).residual(true);
//! let forward = Plan::training(&limits, shape, &options)?;
//! let backward = Backward::from(&options).derivative(Derivative::Output);
//! let backward = Plan::backward(&limits, shape, &backward)?;
//! assert_eq!(forward.minimum_traffic(), (2 + 1 + 1) * 4 * shape.len()); // x twice, residual, y
//! assert_eq!(backward.minimum_traffic(), 2 * (3 + 1) * 4 * shape.len()); // x, dy, y twice; dx, d_residual
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! The backward pass needs the activation's gradient, which it finds from one of three things ([`Derivative`]):
//!
//! | found from | for | kept for it from the forward pass | read for it in the backward pass |
//! |---|---|---|---|
//! | [`Derivative::Input`] | every activation | the residual, where there is one | beta and the residual; `z` is computed again from `x` |
//! | [`Derivative::Output`] | ReLU, ReLU6, leaky ReLU with a positive slope | `y` | `y`; neither beta nor the residual |
//! | [`Derivative::Mask`] | the same | a mask: one bit for each value | the mask; neither `y`, beta nor the residual |
//!
//! - **Input**, the default, is best without a residual: nothing is kept and nothing more is read, so that `y` may be
//!   overwritten at once. SiLU and both forms of GELU leave no choice: two inputs have the same output.
//! - **Output** is best with a residual where the next layer keeps `y` anyway: the residual need not be kept.
//! - **Mask** lets both `y` and the residual go, for a 32nd of the memory of an f32 tensor (a 16th of halves). It takes one
//!   more dispatch, which reads `y`.
//!
//! # Halves
//!
//! `x`, `y`, the residual and their gradients may be stored as f16 or bf16 ([`Element`], which has an example): half the memory
//! and half the traffic. Two lie in each word, so that no feature of the device is needed. Arithmetic is f32 and each value
//! is rounded once, to nearest, when it is stored; gamma, beta, statistics and their gradients stay f32.
//!
//! # Stages as primitives
//!
//! Where a batch is spread over several devices, buffers or turns, its parts are normalized by the statistics of all of it
//! (synchronized batch normalization). The stages are plans of their own, and you carry a few numbers per channel between
//! them:
//!
//! ```text
//! forward     Plan::statistics ──▶ moments ──▶ your exchange ──▶ Plan::training_from_moments
//!             (or Plan::merge, to make one of many)
//! backward    Plan::backward, gradients of gamma and beta alone ──▶ your sum ──▶ Plan::backward_from_gradients
//! ```
//!
//! [`Plan::training_from_moments`] and [`Plan::backward_from_gradients`] have both halves in code.
//!
//! # Who owns what
//!
//! You own the device, the queue, the encoder, the pass and the tensors. A [`Tensor`] is a range of a buffer: an offset
//! that is any multiple of 4, and a length. Several tensors may share one buffer, and results may take the place of what they
//! come from ([`Buffers`]): `y` that of `x`, the gradient of `x` that of the gradient of `y`. The crate makes
//! pipelines (kept in [`Kernels`]) and, in [`Plan::bind`], bind groups, a small uniform buffer and a workspace that you may
//! give instead.
//!
//! Nothing submits or waits but the conveniences that say so: [`Gpu::run`] submits; [`Gpu::wait`] waits; the reads of
//! [`Gpu`] and [`Layer`] submit a copy and wait for it. [`Step::record`] sets the pass's pipeline and bind group 0.
//!
//! What waits comes twice: as a future ([`Gpu::request`], [`Plan::bind_checked`], [`Gpu::download`], [`Layer::read`]), and
//! natively as a call that blocks. The futures run under any executor, in a browser too; those that read back see to
//! it that the device is polled, as [`Gpu::download`] says.
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
//! - The backward pass sums `g` and `g * (x - mean)` in short nested sums, so that rounding does not grow with the tensor.
//! - Training with a NaN or an infinity in a channel makes that channel NaN and no other. In inference it touches its own
//!   element only. A driver may be free to assume that there are none: WGSL permits it.
//! - An empty batch computes nothing and leaves the running statistics as they are; its gradients of gamma and beta are
//!   zeros. One value per channel is an error in training where the running variance is unbiased.
//! - Libraries mean different things by momentum, and take different variances: [`Running::pytorch`], [`Running::keras`]
//!   and [`Running::onnx`] set both.
//! - The same device, driver and plan give the same bits.
//!
//! [`mod@reference`] has every stage in f64, written plainly from the formulas: what the shaders are tested against.
//! [`cpu`] is the fast path of the processor, with the numbers of the shaders. [`yardstick`] is the copy kernel that speeds
//! are measured against.
//!
//! # Tuning
//!
//! Which lanes walk what is data: a [`Tuning`], with a default for every kind of adapter. `wgpu-batchnorm tune` measures
//! on the adapter at hand what is faster for a shape, checks it against the reference, and saves it in the user's
//! configuration folder under the names of adapter, driver and version of this crate. The library looks there where it is
//! told to, and where what it finds does not fit the device that is an error:
//!
//! ```no_run
//! use wgpu_batchnorm::{Gpu, GpuOptions, Kernels, Plan, Shape, Training, Tunings};
//!
//! let gpu = Gpu::blocking(&GpuOptions::default())?;
//! let kernels = Kernels::new(gpu.device());
//! let options = Training::default().tunings(Tunings::saved(&kernels)?); // or `Tunings::load` of a file
//! let shape = Shape::channels_first(&[32, 64, 56, 56])?;
//! let plan = Plan::training(kernels.limits(), shape, &options)?; // by what is nearest to its shape
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! [`Tunings`] says what is near, and [`LayerOptions::tunings`] takes them for all plans of a layer. A search of one's own
//! goes over [`Tuning::fields`].
//!
//! # Beside other libraries
//!
//! `benches/peers` of the repository runs other libraries' batch normalization on the same inputs, adapter and threads. Times
//! are over ours, from the least to the most over nine shapes: over the shaders for what runs on the adapter, over [`cpu`]
//! for what runs on the processor. Errors are the largest of y on inputs that are hard for f32.
//!
//! <!-- benches/peers/report -->
//!
//! On llvmpipe (LLVM 15.0.6, 256 bits), llvmpipe Mesa 25.0.7-2~bpo12+1 (LLVM 15.0.6), 2 threads, 2026-11-23:
//!
//! | library | inference | training forward | forward + backward | error, training | error, inference |
//! | --- | --- | --- | --- | --- | --- |
//! | Burn | 11x to 64x | 12x to 64x | 11x to 54x | 1.98 | 1.7e-7 |
//! | ONNX Runtime WebGPU | 23x to 46x | - | - | - | 1.7e-7 |
//! | ONNX Runtime WebGPU, NCHW | 3.8x to 11x | - | - | - | 1.7e-7 |
//! | TensorFlow.js WebGPU | 26x to 41x | 80x to 101x | 117x to 170x | 1.00 | 0.0550 |
//! | PyTorch CPU | 0.89x to 1.4x | 1.1x to 4.7x | 1.0x to 2.7x | 11.5 | 10.0 |
//! | ONNX Runtime CPU | 0.91x to 1.9x | 1.2x to 2.1x | - | 1.98 | 0.0550 |
//! | wgpu-batchnorm GPU | 1 | 1 | 1 | 3.6e-7 | 1.7e-7 |
//! | wgpu-batchnorm CPU | 1 | 1 | 1 | 7.2e-7 | 1.5e-7 |
//! <!-- end -->
//!
//! # Examples
//!
//! Each is a short file of the repository and of the package; `cargo run --release --example forward` runs the first.
//!
//! - `examples/forward.rs`: the smallest use in a pipeline, with an encoder and a pass of its own.
//! - `examples/pytorch_layer.rs`: a [`Layer`] out of a PyTorch model's file, trained, inferred with and saved.
//! - `examples/shared_pool.rs`: two layers and somebody else's shader in one pass, all tensors in one buffer.
//! - `examples/train.rs`: a training loop on the device, forward, backward and optimizer in one pass; its network and shaders
//!   are beside it in `examples/train/`.
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
mod operation;
mod options;
mod packed;
mod plan;
pub mod reference;
#[cfg(not(target_family = "wasm"))]
mod replace;
mod setters;
mod shape;
mod step;
#[cfg(not(target_family = "wasm"))]
mod temporary;
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
pub use operation::Operation;
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
pub use tuning::{Team, TunedPass, Tuning, TuningField, TuningKey, Tunings, TuningsError};
pub use wgpu;
