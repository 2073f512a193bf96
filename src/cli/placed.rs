//! A tensor of the input's shape in a buffer: alone, or among bytes that must stay as they are.

use anyhow::{Result, ensure};
use half::{bf16, f16};
use wgpu_batchnorm::{Element, Gpu, Tensor, wgpu};

/// What surrounds tensors in a pool, over and over: the bytes of a NaN that no kernel computes.
const GUARD: [u8; 4] = 0x7fc5_a5a5_u32.to_le_bytes();
/// Bytes of guards after a tensor, at least.
const BEHIND: usize = 67 * GUARD.len();

/// A tensor and its buffer.
pub struct Placed {
    buffer: wgpu::Buffer,
    offset: u64,
    len: u64,
    element: Element,
    around: [u8; 4],
}

impl Placed {
    /// These values: in the middle of a buffer where there is an offset, alone in one where there is none.
    pub fn upload(
        gpu: &Gpu,
        values: &[f32],
        element: Element,
        offset: Option<u64>,
        label: &str,
    ) -> Result<Self> {
        let buffer = match (offset, element) {
            (Some(offset), _) => gpu.upload(&pool(&encoded(values, element), offset), label)?,
            (None, Element::F32) => gpu.upload(values, label)?,
            (None, _) => gpu.upload(&encoded(values, element), label)?,
        };
        Ok(Self::new(buffer, offset, values.len() as u64, element))
    }

    /// Room for so many values, placed as [`Placed::upload`] does.
    pub fn room(
        gpu: &Gpu,
        len: u64,
        element: Element,
        offset: Option<u64>,
        label: &str,
    ) -> Result<Self> {
        let bytes = len.saturating_mul(element.bytes());
        let buffer = match offset {
            Some(offset) => {
                let room: Vec<u8> = GUARD.into_iter().cycle().take(bytes as usize).collect();
                gpu.upload(&pool(&room, offset), label)?
            }
            None => gpu.zeros(bytes.div_ceil(4), label)?,
        };
        Ok(Self::new(buffer, offset, len, element))
    }

    fn new(buffer: wgpu::Buffer, offset: Option<u64>, len: u64, element: Element) -> Self {
        Self {
            buffer,
            offset: offset.unwrap_or(0),
            len,
            element,
            // The other half of an odd tensor's last word is zero where the tensor is alone.
            around: offset.map_or([0; 4], |_| GUARD),
        }
    }

    /// The tensor as plans are bound to it.
    pub fn tensor(&self) -> Tensor<'_> {
        Tensor::new(&self.buffer, self.offset, self.len).stored_as(self.element)
    }

    /// The values. An error where something was written beside them.
    pub fn read(&self, gpu: &Gpu) -> Result<Vec<f32>> {
        let bytes: Vec<u8> = gpu.blocking_download(Tensor::whole(&self.buffer))?;
        let start = self.offset as usize;
        let end = start + (self.len * self.element.bytes()) as usize;
        let strays = (0..start)
            .chain(end..bytes.len())
            .filter(|&at| bytes[at] != self.around[at % self.around.len()])
            .count();
        ensure!(
            strays == 0,
            "{strays} bytes beside the output were overwritten"
        );
        Ok(decoded(&bytes[start..end], self.element))
    }
}

/// These bytes from byte `offset` on, among guards.
fn pool(bytes: &[u8], offset: u64) -> Vec<u8> {
    let start = offset as usize;
    let size = (start + bytes.len() + BEHIND).next_multiple_of(GUARD.len());
    let mut pool: Vec<u8> = GUARD.into_iter().cycle().take(size).collect();
    pool[start..start + bytes.len()].copy_from_slice(bytes);
    pool
}

/// Values as `element` stores them, rounded to nearest even.
fn encoded(values: &[f32], element: Element) -> Vec<u8> {
    let halves = |half: fn(f32) -> [u8; 2]| values.iter().copied().flat_map(half).collect();
    match element {
        Element::F32 => bytemuck::cast_slice(values).to_vec(),
        Element::F16 => halves(|value| f16::from_f32(value).to_le_bytes()),
        Element::Bf16 => halves(|value| bf16::from_f32(value).to_le_bytes()),
    }
}

/// The values that bytes store as `element`.
pub fn decoded(bytes: &[u8], element: Element) -> Vec<f32> {
    let halves = |value: fn([u8; 2]) -> f32| {
        let halves = bytes.as_chunks().0.iter();
        halves.map(|&half| value(half)).collect()
    };
    match element {
        Element::F32 => {
            let words = bytes.as_chunks().0.iter();
            words.map(|&word| f32::from_le_bytes(word)).collect()
        }
        Element::F16 => halves(|half| f16::from_le_bytes(half).into()),
        Element::Bf16 => halves(|half| bf16::from_le_bytes(half).into()),
    }
}

/// Values as they come back from a tensor of `element`.
pub fn rounded(values: &[f32], element: Element) -> Vec<f32> {
    decoded(&encoded(values, element), element)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_round_to_even_and_come_back() {
        let values = [
            1.0,
            1.0 + 2f32.powi(-11),
            -1.0 - 3.0 * 2f32.powi(-11),
            1e30,
            f32::NAN,
        ];
        let [f32s, f16s, bf16s] = Element::ALL.map(|element| rounded(&values, element));
        assert_eq!(f32s[..4], values[..4]);
        assert_eq!(f16s[..4], [1.0, 1.0, -1.0 - 2f32.powi(-9), f32::INFINITY]);
        assert_eq!(bf16s[..3], [1.0, 1.0, -1.0]);
        assert!([f32s, f16s, bf16s].iter().all(|values| values[4].is_nan()));
        assert_eq!(encoded(&values, Element::Bf16).len(), 10);
    }

    #[test]
    fn a_pool_is_guards_around_its_bytes_and_whole_words() {
        let pool = pool(&[1, 2, 3, 4, 5, 6], 8);
        assert_eq!(pool[8..14], [1, 2, 3, 4, 5, 6]);
        assert_eq!(pool.len() % 4, 0);
        assert!(pool.len() >= 14 + BEHIND);
        let guarded = |at: usize| pool[at] == GUARD[at % 4];
        assert!((0..8).chain(14..pool.len()).all(guarded));
    }
}
