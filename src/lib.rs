//! Batch normalization as WGSL compute shaders, for anyone's wgpu pipeline.

mod bind;
pub mod cpu;
mod error;
mod gpu;
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

pub use error::{BindError, HostError, LengthError, PlanError, ShapeError, VectorLengthError};
pub use gpu::{DeviceLimits, Gpu, GpuError, GpuOptions};
pub use kernels::Kernels;
pub use layer::{Layer, LayerError, LayerOptions, LayerState, layers_to_safetensors};
#[cfg(not(target_family = "wasm"))]
pub use layer::{load_layers, save_layers};
pub use limits::{AdapterKind, Limits, SubgroupSizes};
pub use options::{DEFAULT_EPSILON, Inference, Running, RunningVariance, Training, Update};
pub use packed::Packed;
pub use plan::{Combine, DispatchInfo, Plan, Stage, Walk};
pub use shape::Shape;
pub use step::Step;
pub use tensor::{Buffers, Tensor};
pub use transfer::TransferError;
pub use tuning::{Team, Tuning};
pub use wgpu;
