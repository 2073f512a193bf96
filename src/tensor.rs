//! The caller's tensors: ranges of the caller's buffers.

/// A run of 4-byte values in a buffer of the caller: a buffer, a byte offset (any multiple of 4) and a length.
///
/// ```no_run
/// # fn example(pool: &wgpu::Buffer) {
/// use wgpu_batchnorm::Tensor;
///
/// let x = Tensor::new(pool, 4, 1000); // bytes 4..4004 of the pool
/// let all = Tensor::whole(pool);
/// # }
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Tensor<'a> {
    buffer: &'a wgpu::Buffer,
    offset: u64,
    len: u64,
}

impl<'a> Tensor<'a> {
    /// `len` values from byte `offset`. Checked by [`Plan::bind`](crate::Plan::bind).
    pub const fn new(buffer: &'a wgpu::Buffer, offset: u64, len: u64) -> Self {
        Self {
            buffer,
            offset,
            len,
        }
    }

    /// The whole buffer: as many values as fit, of 4 bytes each.
    pub fn whole(buffer: &'a wgpu::Buffer) -> Self {
        Self::new(buffer, 0, buffer.size() / 4)
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

    /// One past the last byte; saturates where that overflows, which no buffer reaches.
    pub(crate) const fn end(&self) -> u64 {
        self.offset.saturating_add(self.len.saturating_mul(4))
    }

    /// Whether the byte ranges of two tensors of one buffer intersect.
    pub(crate) fn overlaps(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset < other.end() && other.offset < self.end()
    }

    /// Whether two tensors are the same range of the same buffer.
    pub(crate) fn is(&self, other: &Self) -> bool {
        self.buffer == other.buffer && self.offset == other.offset && self.len == other.len
    }

    /// A part of the tensor.
    pub(crate) const fn part(&self, start: u64, len: u64) -> Self {
        Self::new(self.buffer, self.offset + 4 * start, len)
    }
}

/// The tensors of one step: `x` and `y` always, the others as the options of the plan need them.
///
/// | tensor | values | needed by |
/// |---|---|---|
/// | `x`, `y` | the shape's; the same range is in-place | every plan |
/// | gamma, beta | `channels` each | plans with `gamma`, with `beta` |
/// | running | [`Packed::running`](crate::Packed::running) | training that updates running statistics; inference, or `statistics` |
/// | statistics | mean and variance, `channels` each | inference, or `running` |
/// | saved | [`Packed::saved`](crate::Packed::saved) | training with `saved` |
/// | workspace | [`Plan::workspace_bytes`](crate::Plan::workspace_bytes) | nobody: the step makes its own where it is not given |
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
#[derive(Clone, Debug)]
#[must_use]
pub struct Buffers<'a> {
    pub(crate) label: Option<&'a str>,
    pub(crate) x: Tensor<'a>,
    pub(crate) y: Tensor<'a>,
    pub(crate) parameters: Option<Tensor<'a>>,
    pub(crate) gamma: Option<Tensor<'a>>,
    pub(crate) beta: Option<Tensor<'a>>,
    pub(crate) running: Option<Tensor<'a>>,
    pub(crate) statistics: Option<(Tensor<'a>, Tensor<'a>)>,
    pub(crate) saved: Option<Tensor<'a>>,
    pub(crate) workspace: Option<Tensor<'a>>,
}

impl<'a> Buffers<'a> {
    /// Input and output. The same range of the same buffer for both means in place.
    pub const fn new(x: Tensor<'a>, y: Tensor<'a>) -> Self {
        Self {
            label: None,
            x,
            y,
            parameters: None,
            gamma: None,
            beta: None,
            running: None,
            statistics: None,
            saved: None,
            workspace: None,
        }
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
    /// values, the batches as u32. Updated by training, read by inference.
    pub fn running(self, running: Tensor<'a>) -> Self {
        Self {
            running: Some(running),
            ..self
        }
    }

    /// Fixed statistics for inference: mean and (biased) variance, `channels` values each, each a tensor of its own.
    pub fn statistics(self, mean: Tensor<'a>, variance: Tensor<'a>) -> Self {
        Self {
            statistics: Some((mean, variance)),
            ..self
        }
    }

    /// Where training saves mean and inverse standard deviation, packed as [`Packed`](crate::Packed) says:
    /// [`Packed::saved`](crate::Packed::saved) values.
    pub fn saved(self, saved: Tensor<'a>) -> Self {
        Self {
            saved: Some(saved),
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
