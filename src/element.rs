//! How the values of a tensor are stored.

use serde::{Deserialize, Serialize};

/// How a tensor stores its values. Arithmetic is f32 whatever the storage; gamma, beta, statistics and their gradients are
/// always stored as f32.
///
/// The half types are packed two to a `u32` word, the earlier value in the lower half, so that they work on every device:
/// no feature is needed. Storing rounds to nearest, ties to even. Where the number of values is odd, the upper half of the
/// last word belongs to the tensor too: what is written there is not said.
///
/// ```no_run
/// use half::f16;
/// use wgpu_batchnorm::{Buffers, Element, Gpu, GpuOptions, Kernels, Plan, Shape, Tensor, Training};
///
/// let gpu = Gpu::blocking(&GpuOptions::default())?;
/// let kernels = Kernels::new(gpu.device());
/// let shape = Shape::channels_last(&[3, 5])?;
/// let element = Element::F16;
/// assert_eq!(element.words(shape.len()), 8); // 15 values
///
/// let x = gpu.upload(&[f16::from_f32(1.5); 15], "x")?;
/// let y = gpu.zeros(element.words(shape.len()), "y")?;
/// let tensor = |buffer| Tensor::new(buffer, 0, shape.len()).stored_as(element);
/// let options = Training::default().element(element).gamma(false).beta(false).running(None).saved(false);
/// let step = Plan::training(kernels.limits(), shape, &options)?
///     .bind(&kernels, Buffers::new(tensor(&x), tensor(&y)))?;
/// gpu.run("halves", |pass| step.record(pass));
/// let y: Vec<f16> = gpu.blocking_download(tensor(&y))?;
/// assert_eq!(y, [f16::ZERO; 15]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Element {
    /// IEEE 754 binary32.
    #[default]
    F32,
    /// IEEE 754 binary16.
    F16,
    /// The upper half of binary32.
    Bf16,
}

impl Element {
    /// Every element.
    pub const ALL: [Self; 3] = [Self::F32, Self::F16, Self::Bf16];

    /// Bytes of one value.
    pub const fn bytes(self) -> u64 {
        match self {
            Self::F32 => 4,
            Self::F16 | Self::Bf16 => 2,
        }
    }

    /// The name in texts: `f32`, `f16`, `bf16`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::F16 => "f16",
            Self::Bf16 => "bf16",
        }
    }

    /// Words of 4 bytes that this many values take, the last one filled up where they are odd halves:
    /// [`Gpu::zeros`](crate::Gpu::zeros) makes a buffer of so many.
    pub const fn words(self, values: u64) -> u64 {
        values.div_ceil(self.per_word())
    }

    /// Values in one word.
    pub(crate) const fn per_word(self) -> u64 {
        4 / self.bytes()
    }
}
