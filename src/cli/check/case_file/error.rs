//! What is wrong with a file.

use safetensors::tensor::{Dtype, SafeTensorError};
use thiserror::Error;
use wgpu_batchnorm::ShapeError;

/// Why a file is not a case.
#[derive(Debug, Error)]
pub enum CaseFileError {
    /// A file that the `safetensors` crate says no to all the same.
    #[error("not a valid .safetensors file: {0}")]
    Container(#[from] SafeTensorError),
    /// A file that is truncated, or whose header is not true of it.
    #[error(transparent)]
    Header(#[from] wgpu_batchnorm::HeaderError),
    /// A file that could not be read.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// A tensor or metadata key that the format does not have.
    #[error("unknown {kind} {key:?}: the names are {}", known.join(", "))]
    Unknown {
        /// `tensor` or `metadata key`.
        kind: &'static str,
        /// The name given.
        key: String,
        /// The names that there are.
        known: Vec<&'static str>,
    },
    /// Defined, but not computed by this version.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// Which tensor, key or value.
        what: String,
    },
    /// A tensor that another one, or every case, needs.
    #[error("{tensor} is missing{}", because(*needed_by))]
    Missing {
        /// Which tensor.
        tensor: &'static str,
        /// What needs it.
        needed_by: Option<&'static str>,
    },
    /// A tensor of another element type.
    #[error("{tensor} has elements of {given:?}: {needed} is needed")]
    ElementType {
        /// Which tensor.
        tensor: &'static str,
        /// Its type.
        given: Dtype,
        /// What can be read.
        needed: &'static str,
    },
    /// A tensor of other sizes.
    #[error("{tensor} has the sizes {given:?}: {needed:?} is needed")]
    Sizes {
        /// Which tensor.
        tensor: &'static str,
        /// Its sizes.
        given: Vec<usize>,
        /// What they must be.
        needed: Vec<usize>,
    },
    /// A count of batches that is negative or above 32 bits.
    #[error("num_batches_tracked is {given}: 0 to {} is needed", u32::MAX)]
    Batches {
        /// The count given.
        given: i64,
    },
    /// A metadata value that cannot be read.
    #[error("{key} is {given:?}: {needed} is needed")]
    Value {
        /// Which key.
        key: &'static str,
        /// Its value.
        given: String,
        /// What it must be.
        needed: &'static str,
    },
    /// An input that has no such channel axis.
    #[error("input: {0}")]
    Shape(#[from] ShapeError),
    /// A case that nothing could fail.
    #[error(
        "there is nothing to compare: expected.output, expected.running_mean or expected.running_var is needed"
    )]
    NothingExpected,
}

fn because(needed_by: Option<&str>) -> String {
    needed_by.map_or(String::new(), |tensor| format!(": {tensor} needs it"))
}
