//! Typed errors: what was given, and what is needed.

use thiserror::Error;

use crate::activation::Derivative;
use crate::element::Element;

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

/// Options, limits and a shape that no plan can be made for.
#[derive(Clone, Debug, Error, PartialEq)]
#[non_exhaustive]
pub enum PlanError {
    /// Epsilon is negative, infinite or NaN.
    #[error("epsilon is {given}: a finite number of at least 0 is needed")]
    Epsilon {
        /// The epsilon given.
        given: f32,
    },
    /// The update factor is outside 0 to 1.
    #[error("the update factor of the running statistics is {given}: 0 to 1 is needed")]
    UpdateFactor {
        /// The factor given.
        given: f32,
    },
    /// The unbiased variance of one value is not defined.
    #[error(
        "one value per channel has no unbiased variance: train on more values, use the biased running variance, or \
         update no running statistics"
    )]
    SingleValue,
    /// More values per channel than 32 bits count.
    #[error("{given} values per channel: at most {} are counted", u32::MAX)]
    ValuesPerChannel {
        /// Values per channel.
        given: u64,
    },
    /// The packed vectors of so many channels do not fit into one storage binding.
    #[error(
        "{channels} channels need {needed} bytes of packed vectors, a storage binding holds {limit}"
    )]
    Channels {
        /// Channels given.
        channels: u64,
        /// Bytes needed.
        needed: u64,
        /// Bytes of a binding.
        limit: u64,
    },
    /// The limits are too small for any kernel.
    #[error("{what} is {given} on this device: at least {needed} is needed")]
    Limit {
        /// Which limit.
        what: &'static str,
        /// What the device has.
        given: u64,
        /// What is needed.
        needed: u64,
    },
    /// The slope of the activation is infinite or NaN.
    #[error("the slope of the leaky ReLU is {given}: a finite number is needed")]
    Slope {
        /// The slope given.
        given: f32,
    },
    /// A mask that would not tell the activation's gradient.
    #[error(
        "a mask is made from the output, which does not tell where {activation} lets a gradient pass: ReLU, ReLU6 and leaky \
         ReLU with a positive slope have masks"
    )]
    Mask {
        /// The activation's name.
        activation: &'static str,
    },
    /// The activation's gradient cannot be found from what the options name.
    #[error("the gradient of {activation} cannot be found from {given:?}: see `Activation`")]
    Derivative {
        /// The activation's name.
        activation: &'static str,
        /// What the options name.
        given: Derivative,
    },
    /// A backward pass without a gradient to compute.
    #[error("every gradient is skipped: at least one is needed")]
    NoGradient,
    /// The gradient of a residual that there is none of.
    #[error("the gradient of the residual is asked for, but the options have no residual")]
    NoResidual,
    /// No moments to merge, or more than a binding holds.
    #[error("moments of {given} shards: 1 to {most} fit into a storage binding")]
    Shards {
        /// Shards given.
        given: u64,
        /// Shards that fit.
        most: u64,
    },
    /// A channel's row of halves that is too long to be walked word by word.
    #[error(
        "{given} values of a channel in a row, an odd number or at an odd place: at most 2^31 of f16 or bf16 are walked word \
         by word"
    )]
    HalfRow {
        /// Values in a row.
        given: u64,
    },
    /// A value of the tuning is out of its range.
    #[error("tuning: {what} is {given}, but must be {needed}")]
    Tuning {
        /// Which value.
        what: &'static str,
        /// What was given.
        given: u64,
        /// What is possible.
        needed: String,
    },
}

/// Tensors that do not fit the plan.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum BindError {
    /// The plan needs a tensor that was not given.
    #[error("the plan needs {tensor}, which was not given")]
    Missing {
        /// Which tensor.
        tensor: &'static str,
    },
    /// A tensor was given that the plan has no use for.
    #[error("{tensor} was given, but the plan does not use it")]
    Unused {
        /// Which tensor.
        tensor: &'static str,
    },
    /// Two ways of giving the same tensor were both used.
    #[error("{first} and {second} were both given, but they are two ways of giving the same")]
    Twice {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// A tensor that is stored otherwise than the plan's.
    #[error("{tensor} is stored as {}, but the plan is for {}", given.name(), needed.name())]
    Element {
        /// Which tensor.
        tensor: &'static str,
        /// How it is stored.
        given: Element,
        /// What the plan needs.
        needed: Element,
    },
    /// A tensor of another length than the plan's.
    #[error("{tensor} has {given} values, but the plan needs {needed}")]
    Length {
        /// Which tensor.
        tensor: &'static str,
        /// Values given.
        given: u64,
        /// Values needed.
        needed: u64,
    },
    /// A byte offset that no value can start at.
    #[error("{tensor} starts at byte {given}: a multiple of {needed} is needed")]
    Offset {
        /// Which tensor.
        tensor: &'static str,
        /// The offset given.
        given: u64,
        /// What it must be a multiple of.
        needed: u64,
    },
    /// A tensor that ends after its buffer.
    #[error("{tensor} ends at byte {end}, its buffer has {size}")]
    Range {
        /// Which tensor.
        tensor: &'static str,
        /// One past the last byte of the tensor's last word.
        end: u64,
        /// The buffer's size.
        size: u64,
    },
    /// A buffer that was not created for storage.
    #[error("{tensor} is in a buffer with the usages {given:?}: STORAGE is needed")]
    Usage {
        /// Which tensor.
        tensor: &'static str,
        /// The usages of the buffer.
        given: wgpu::BufferUsages,
    },
    /// A tensor that is written overlaps another.
    #[error(
        "{first} and {second} overlap: only y may take the place of x or of the residual, only grad_input or grad_residual \
         that of grad_output, and only exactly"
    )]
    Overlap {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
    },
    /// Training in place destroys what the backward pass reads.
    #[error(
        "y is x's own memory, but the plan saves statistics for a backward pass, which reads x: say `saved(false)` \
         where no backward pass follows"
    )]
    InPlaceTraining,
    /// Tensors that stand too close in one buffer to be bound apart, and too far apart to be bound together.
    #[error(
        "{first} and {second} need one binding of {needed} bytes, a storage binding holds {limit}: place them {alignment} \
         bytes apart or in two buffers"
    )]
    Apart {
        /// One of them.
        first: &'static str,
        /// The other.
        second: &'static str,
        /// Bytes of the binding.
        needed: u64,
        /// Bytes a binding holds.
        limit: u64,
        /// The alignment of storage bindings.
        alignment: u64,
    },
    /// wgpu rejected an object; only [`Plan::bind_checked`](crate::Plan::bind_checked) tells.
    #[error("wgpu: {message}")]
    Device {
        /// What wgpu said.
        message: String,
    },
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

/// Why a pass on the host ([`reference`](crate::reference), [`cpu`](crate::cpu), [`fold_into`](crate::fold_into)) cannot be
/// computed.
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
    /// A slope of leaky ReLU that is infinite or NaN.
    #[error("the slope of leaky ReLU is {slope}: a finite number is needed")]
    Slope {
        /// The slope given.
        slope: f32,
    },
    /// A backward pass without a gradient to compute.
    #[error("every gradient is skipped: at least one is needed")]
    NoGradient,
    /// The gradient of a residual that there is none of.
    #[error("the gradient of the residual is asked for, but the options have no residual")]
    NoResidual,
    /// Something that only passes on a device have; the host stores f32 and finds gradients from the input.
    #[error("{what} is for passes on a device: the host has none")]
    DeviceOnly {
        /// What the options ask for.
        what: &'static str,
    },
    /// A variance that, epsilon added, has no inverse square root.
    #[error("channel {channel} has a variance of {variance}: with epsilon more than 0 is needed")]
    Variance {
        /// The channel.
        channel: usize,
        /// Its variance.
        variance: f32,
    },
    /// Groups that the weight cannot be cut into.
    #[error("a weight of {inputs} input channels cannot be cut into {groups} groups")]
    Groups {
        /// The groups given.
        groups: u64,
        /// What stands before the axis of the outputs.
        inputs: u64,
    },
}
