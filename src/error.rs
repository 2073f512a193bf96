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

/// A slice of another length than the shape asks for.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{what} has {given} values, but {needed} are needed")]
pub struct LengthError {
    /// Which slice.
    pub what: &'static str,
    /// Values given.
    pub given: usize,
    /// Values needed.
    pub needed: u64,
}

/// Why a pass on the host ([`reference`](crate::reference), [`cpu`](crate::cpu)) cannot be computed.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum HostError {
    /// A slice of the wrong length.
    #[error(transparent)]
    Length(#[from] LengthError),
    /// The options ask for something that was not given.
    #[error("the options ask for {what}, but none is given")]
    Missing {
        /// What is missing.
        what: &'static str,
    },
    /// Something was given that the options leave out.
    #[error("{what} is given, but the options leave it out")]
    Unexpected {
        /// What was given.
        what: &'static str,
    },
    /// An epsilon that is negative, infinite or NaN.
    #[error("epsilon {epsilon} is not a finite number that is 0 or more")]
    Epsilon {
        /// The epsilon given.
        epsilon: f32,
    },
    /// A share of the new batch outside 0 to 1.
    #[error("the running statistics cannot move by {factor} of the new batch: 0 to 1 is needed")]
    UpdateFactor {
        /// The factor given.
        factor: f32,
    },
    /// One value per channel has no unbiased variance.
    #[error("one value per channel has no unbiased variance for the running statistics")]
    SingleValue,
}
