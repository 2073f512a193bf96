//! What batch normalization does, and why it is used: answered by training small networks on the GPU.

#![forbid(unsafe_code)]

pub mod data;
pub mod experiments;
pub mod figure;
pub mod random;
pub mod report;
pub mod session;
pub mod spec;
pub mod statistics;
mod trainer;

use thiserror::Error;
pub use trainer::{Gradients, Trainer};

/// What can go wrong in training.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// The embedded tables are not what they should be.
    #[error("the embedded data: {message}")]
    Data {
        /// What is wrong.
        message: String,
    },
    /// What cannot be trained.
    #[error("this cannot be trained: {problem}")]
    Spec {
        /// What it has or lacks.
        problem: &'static str,
    },
    /// Outcomes that could not be kept.
    #[error("{message}")]
    Store {
        /// What went wrong.
        message: String,
    },
    /// A shape that the library says no to.
    #[error(transparent)]
    Shape(#[from] wgpu_batchnorm::ShapeError),
    /// Options or a shape that the library says no to.
    #[error(transparent)]
    Plan(#[from] wgpu_batchnorm::PlanError),
    /// Tensors that the library says no to.
    #[error(transparent)]
    Bind(#[from] wgpu_batchnorm::BindError),
    /// A layer that could not be made or read.
    #[error(transparent)]
    Layer(#[from] wgpu_batchnorm::LayerError),
    /// What the library's reference says no to.
    #[error(transparent)]
    Host(#[from] wgpu_batchnorm::HostError),
    /// Vectors that do not fit a layer.
    #[error(transparent)]
    Vector(#[from] wgpu_batchnorm::VectorLengthError),
    /// Values that could not be brought to the device or back.
    #[error(transparent)]
    Transfer(#[from] wgpu_batchnorm::TransferError),
}

impl Error {
    /// [`Error::Store`] of what a store says, with all of its causes.
    pub fn store(error: impl std::fmt::Display) -> Self {
        Self::Store {
            message: format!("{error:#}"),
        }
    }
}
