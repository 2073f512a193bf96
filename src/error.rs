//! Typed errors: what was given, and what is needed.

use thiserror::Error;

/// A shape that batch normalization has no meaning for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum ShapeError {
    /// Fewer than two axes.
    #[error("a tensor of rank {rank} has no batch and channel axes: rank 2 and up is needed")]
    Rank {
        /// The number of axes given.
        rank: usize,
    },
    /// No such axis.
    #[error("axis {axis} of a tensor of rank {rank}: -{rank} to {} are its axes", rank - 1)]
    Axis {
        /// The axis given.
        axis: isize,
        /// The number of axes.
        rank: usize,
    },
    /// More bytes than 64 bits count.
    #[error("the tensor's size in bytes overflows 64 bits")]
    TooLarge,
}

/// A vector of another length than the channels.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("vector {index} has {given} values, but there are {needed} channels")]
pub struct VectorLengthError {
    /// Which vector.
    pub index: usize,
    /// Values given.
    pub given: usize,
    /// Values needed.
    pub needed: u64,
}
