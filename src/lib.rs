//! Batch normalization as WGSL compute shaders, for anyone's wgpu pipeline.

pub mod cpu;
mod error;
mod limits;
mod options;
mod packed;
pub mod reference;
mod shape;
mod tuning;

pub use error::{HostError, LengthError, ShapeError, VectorLengthError};
pub use limits::{AdapterKind, Limits, SubgroupSizes};
pub use options::{DEFAULT_EPSILON, Inference, Running, RunningVariance, Training, Update};
pub use packed::Packed;
pub use shape::Shape;
pub use tuning::{Team, Tuning};
pub use wgpu;
