//! The caller's tensors: ranges of the caller's buffers.

use crate::element::Element;

/// A run of values in a buffer of the caller: a buffer, a byte offset (any multiple of 4), a length, and how the values are
/// stored.
///
/// ```no_run
/// # fn example(pool: &wgpu::Buffer) {
/// use wgpu_batchnorm::{Element, Tensor};
///
/// let x = Tensor::new(pool, 4, 1000); // 1000 f32: bytes 4..4004 of the pool
/// let half = Tensor::new(pool, 4096, 1001).stored_as(Element::F16); // bytes 4096..6098
/// let all = Tensor::whole(pool);
/// # }
/// ```
///
/// # Where to begin
/// Results do not depend on it. On a software adapter speed does: a processor may take a load for one of what it has just
/// stored where the two addresses are equal in their last 12 bits, so tensors of one pass should not all begin at the start
/// of a page, as buffers do. Let each begin 256 bytes further into its buffer, or into its part of a pool, than the one
/// before. Channels-last rows of a multiple or a fraction of 4 KiB gain most: training of 4096x1024 was at 0.7 of the copy
/// kernel's speed, and is at 0.85 so. Not measured on a hardware GPU.
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    buffer: &'a wgpu::Buffer,
    offset: u64,
    len: u64,
    element: Element,
}

impl<'a> Tensor<'a> {
    /// `len` values of 4 bytes (f32, or counts) from byte `offset`. Checked by [`Plan::bind`](crate::Plan::bind).
    pub const fn new(buffer: &'a wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self {
            buffer,
            offset,
            len,
            element: Element::F32,
        }
    }

    /// The whole buffer: as many values of 4 bytes as fit. A buffer of halves holds twice as many, and an odd number of them
    /// is not told from the next even one: say how many there are, with [`Tensor::new`].
    pub fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self::new(buffer, 0, buffer.size() / 4)
    }

    /// The same number of values from the same byte on, stored as `element`: of halves half as many bytes.
    #[must_use]
    pub const fn stored_as(self, element: Element) -> Self {
        Self { element, ..self }
    }

    /// How the values are stored.
    pub const fn element(&self) -> Element {
        self.element
    }

    /// The number of bytes; saturates where that overflows, which no buffer reaches.
    pub const fn bytes(&self) -> u64 {
        self.len.saturating_mul(self.element.bytes())
    }

    /// The buffer.
    pub const fn buffer(&self) -> &'a wgpu::Buffer {
        self.buffer
    }

    /// The first byte.
    pub const fn offset(&self) -> u64 {
        self.offset
    }

    /// The number of values.
    pub const fn len(&self) -> u64 {
        self.len
    }

    /// Whether there are no values.
    pub const fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// One past the last byte of the last word, which an odd number of halves does not fill but has to itself; saturates
    /// where that overflows, which no buffer reaches.
    pub(crate) const fn end(&self) -> u64 {
        match self
            .offset
            .saturating_add(self.bytes())
            .checked_next_multiple_of(4)
        {
            Some(end) => end,
            None => u64::MAX,
        }
    }

    /// Whether the byte ranges of two tensors of one buffer intersect.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset < other.end() && other.offset < self.end()
    }

    /// Whether two tensors are the same range of the same buffer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset == other.offset && self.len == other.len
    }

    /// A part of a tensor of 4-byte values.
    pub(crate) const fn part(&self, start: u64, len: u64) -> Self {
        Self::new(self.buffer, self.offset + 4 * start, len)
    }
}

/// The tensors of one step, as the plan needs them. What is missing, superfluous, or of the wrong length or storage is an
/// error of [`Plan::bind`](crate::Plan::bind).
///
/// | tensor | values | read | written |
/// |---|---|---|---|
/// | `x` | the shape's | every plan but `merge` | |
/// | `y` | the shape's | backward from [`Derivative::Output`](crate::Derivative::Output) | forward |
/// | residual | the shape's | forward with `residual`; backward with it from [`Derivative::Input`](crate::Derivative::Input) | |
/// | `grad_output` | the shape's | backward | |
/// | `grad_input`, `grad_residual` | the shape's | | backward |
/// | mask | [`Plan::mask_words`](crate::Plan::mask_words) | backward from [`Derivative::Mask`](crate::Derivative::Mask) | forward with `mask` |
/// | gamma, beta | `channels` each | plans of a layer that has them; backward not always | |
/// | running | [`Packed::running`](crate::Packed::running) | inference and backward with fixed statistics, or `statistics` | training that updates them |
/// | statistics | mean and variance, `channels` each | as running | |
/// | saved | [`Packed::saved`](crate::Packed::saved) | backward with the batch's statistics | training with `saved` |
/// | gradients of gamma, beta | `channels` each | [`Plan::backward_from_gradients`](crate::Plan::backward_from_gradients) | backward |
/// | moments | 4 `channels` | | [`Plan::statistics`](crate::Plan::statistics), [`Plan::merge`](crate::Plan::merge) |
/// | shards | 4 `channels` for each | [`Plan::merge`](crate::Plan::merge), [`Plan::training_from_moments`](crate::Plan::training_from_moments) | |
/// | workspace | [`Plan::workspace_bytes`](crate::Plan::workspace_bytes) | | by steps that need one; their own where it is not given |
///
/// What is written overlaps nothing else, but for results that take exactly the place of what they come from: `y` that of
/// `x` or of the residual, `grad_input` or `grad_residual` that of `grad_output`.
///
/// ```no_run
/// # fn example(x: &wgpu::Buffer, y: &wgpu::Buffer, parameters: &wgpu::Buffer, running: &wgpu::Buffer) {
/// use wgpu_batchnorm::{Buffers, Tensor};
///
/// let buffers = Buffers::new(Tensor::whole(x), Tensor::whole(y))
///     .label("stem")
///     .parameters(Tensor::whole(parameters))
///     .running(Tensor::whole(running));
/// # }
/// ```
#[derive(Clone, Debug, Default)]
#[must_use]
pub struct Buffers<'a> {
    pub(crate) label: Option<&'a str>,
    pub(crate) x: Option<Tensor<'a>>,
    pub(crate) y: Option<Tensor<'a>>,
    pub(crate) residual: Option<Tensor<'a>>,
    pub(crate) grad_output: Option<Tensor<'a>>,
    pub(crate) grad_input: Option<Tensor<'a>>,
    pub(crate) grad_residual: Option<Tensor<'a>>,
    pub(crate) mask: Option<Tensor<'a>>,
    pub(crate) parameters: Option<Tensor<'a>>,
    pub(crate) gamma: Option<Tensor<'a>>,
    pub(crate) beta: Option<Tensor<'a>>,
    pub(crate) running: Option<Tensor<'a>>,
    pub(crate) statistics: Option<(Tensor<'a>, Tensor<'a>)>,
    pub(crate) saved: Option<Tensor<'a>>,
    pub(crate) grad_parameters: Option<Tensor<'a>>,
    pub(crate) grad_gamma: Option<Tensor<'a>>,
    pub(crate) grad_beta: Option<Tensor<'a>>,
    pub(crate) shards: Option<Tensor<'a>>,
    pub(crate) moments: Option<Tensor<'a>>,
    pub(crate) workspace: Option<Tensor<'a>>,
}

impl<'a> Buffers<'a> {
    /// Forward: input and output. The same range of the same buffer for both means in place.
    pub fn new(x: Tensor<'a>, y: Tensor<'a>) -> Self {
        Self::input(x).output(y)
    }

    /// The input alone: for [`Plan::statistics`](crate::Plan::statistics).
    pub fn input(x: Tensor<'a>) -> Self {
        Self {
            x: Some(x),
            ..Self::default()
        }
    }

    /// Backward: the input of the forward pass, and the gradient of its output.
    pub fn backward(x: Tensor<'a>, grad_output: Tensor<'a>) -> Self {
        Self {
            grad_output: Some(grad_output),
            ..Self::input(x)
        }
    }

    /// For [`Plan::merge`](crate::Plan::merge): the moments of the shards, and where those of all go.
    pub fn merge(shards: Tensor<'a>, moments: Tensor<'a>) -> Self {
        Self::default().shards(shards).moments(moments)
    }

    /// Prefixes the label of every GPU object of the step. "batchnorm" by default.
    pub fn label(self, label: &'a str) -> Self {
        Self {
            label: Some(label),
            ..self
        }
    }

    /// gamma and beta in one tensor, packed as [`Packed`](crate::Packed) says:
    /// [`Packed::parameters`](crate::Packed::parameters) values.
    pub fn parameters(self, parameters: Tensor<'a>) -> Self {
        Self {
            parameters: Some(parameters),
            ..self
        }
    }

    /// gamma in a tensor of its own, of `channels` values (PyTorch's `weight`).
    pub fn gamma(self, gamma: Tensor<'a>) -> Self {
        Self {
            gamma: Some(gamma),
            ..self
        }
    }

    /// beta in a tensor of its own, of `channels` values (PyTorch's `bias`).
    pub fn beta(self, beta: Tensor<'a>) -> Self {
        Self {
            beta: Some(beta),
            ..self
        }
    }

    /// The running statistics, packed as [`Packed`](crate::Packed) says: [`Packed::running`](crate::Packed::running)
    /// values, the batches as u32. Updated by training, read by inference and by the backward pass of frozen statistics.
    pub fn running(self, running: Tensor<'a>) -> Self {
        Self {
            running: Some(running),
            ..self
        }
    }

    /// Fixed statistics: mean and (biased) variance, `channels` values each, each a tensor of its own.
    pub fn statistics(self, mean: Tensor<'a>, variance: Tensor<'a>) -> Self {
        Self {
            statistics: Some((mean, variance)),
            ..self
        }
    }

    /// Where training saves mean and inverse standard deviation for the backward pass, packed as
    /// [`Packed`](crate::Packed) says: [`Packed::saved`](crate::Packed::saved) values.
    pub fn saved(self, saved: Tensor<'a>) -> Self {
        Self {
            saved: Some(saved),
            ..self
        }
    }

    /// The output of the forward pass.
    pub fn output(self, y: Tensor<'a>) -> Self {
        Self { y: Some(y), ..self }
    }

    /// What is added before the activation.
    pub fn residual(self, residual: Tensor<'a>) -> Self {
        Self {
            residual: Some(residual),
            ..self
        }
    }

    /// Where the gradient of x goes.
    pub fn grad_input(self, grad_input: Tensor<'a>) -> Self {
        Self {
            grad_input: Some(grad_input),
            ..self
        }
    }

    /// Where the gradient of the residual goes.
    pub fn grad_residual(self, grad_residual: Tensor<'a>) -> Self {
        Self {
            grad_residual: Some(grad_residual),
            ..self
        }
    }

    /// The mask of the activation: [`Plan::mask_words`](crate::Plan::mask_words) words.
    pub fn mask(self, mask: Tensor<'a>) -> Self {
        Self {
            mask: Some(mask),
            ..self
        }
    }

    /// The gradients of gamma and beta in one tensor, packed as [`Packed`](crate::Packed) says of the parameters.
    pub fn grad_parameters(self, grad_parameters: Tensor<'a>) -> Self {
        Self {
            grad_parameters: Some(grad_parameters),
            ..self
        }
    }

    /// The gradient of gamma in a tensor of its own.
    pub fn grad_gamma(self, grad_gamma: Tensor<'a>) -> Self {
        Self {
            grad_gamma: Some(grad_gamma),
            ..self
        }
    }

    /// The gradient of beta in a tensor of its own.
    pub fn grad_beta(self, grad_beta: Tensor<'a>) -> Self {
        Self {
            grad_beta: Some(grad_beta),
            ..self
        }
    }

    /// Moments of shards, one after another, as [`Plan::statistics`](crate::Plan::statistics) leaves them.
    pub fn shards(self, shards: Tensor<'a>) -> Self {
        Self {
            shards: Some(shards),
            ..self
        }
    }

    /// Where moments go: count (u32), mean, its remainder and sum of squared deviations for each channel.
    pub fn moments(self, moments: Tensor<'a>) -> Self {
        Self {
            moments: Some(moments),
            ..self
        }
    }

    /// Scratch memory, which steps recorded one after another may share: nothing in it outlives a step. Its offset is a
    /// multiple of the device's storage offset alignment (256 serves everywhere). Without it `bind` creates a buffer.
    pub fn workspace(self, workspace: Tensor<'a>) -> Self {
        Self {
            workspace: Some(workspace),
            ..self
        }
    }
}
