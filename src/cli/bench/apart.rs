//! Tensors that do not all begin alike.

use wgpu_batchnorm::{Element, Gpu, Tensor, TransferError, wgpu};

/// Bytes from where one tensor of a pass begins in its buffer to where the next one does in its own.
///
/// Buffers begin at the start of a page. Tensors that all do are the slowest on a processor, as the documentation of [`Tensor`]
/// says: see "Where tensors begin" in benches/SOFTWARE.md.
const DISTANCE: u64 = 256;

/// A tensor of the shape of x in a buffer of its own. Only the tensor is copied from and to it.
pub struct Apart {
    buffer: wgpu::Buffer,
    start: u64,
    bytes: u64,
}

impl Apart {
    /// Room for so many bytes: the tensor of this index among those of its pass.
    pub fn room(gpu: &Gpu, bytes: u64, index: usize, label: &str) -> Result<Self, TransferError> {
        let bytes = bytes.next_multiple_of(4);
        let wanted = index as u64 * DISTANCE;
        // The largest tensor of all has no room to move.
        let room = gpu.device().limits().max_buffer_size.checked_sub(bytes);
        let start = if room >= Some(wanted) { wanted } else { 0 };
        let buffer = gpu.zeros((start + bytes) / 4, label)?;
        Ok(Self {
            buffer,
            start,
            bytes,
        })
    }

    /// Such a tensor of these bytes. They are on their way with the next submission.
    pub fn upload(
        gpu: &Gpu,
        bytes: &[u8],
        index: usize,
        label: &str,
    ) -> Result<Self, TransferError> {
        let tensor = Self::room(gpu, bytes.len() as u64, index, label)?;
        tensor.write(gpu, bytes);
        Ok(tensor)
    }

    /// Overwrites it with the next submission. There are as many bytes as it has.
    pub fn write(&self, gpu: &Gpu, bytes: &[u8]) {
        gpu.queue().write_buffer(&self.buffer, self.start, bytes);
    }

    /// Records a copy of it.
    pub fn copy_to(&self, encoder: &mut wgpu::CommandEncoder, target: &wgpu::Buffer) {
        encoder.copy_buffer_to_buffer(&self.buffer, self.start, target, 0, self.bytes);
    }

    /// Records that it becomes zero.
    pub fn clear(&self, encoder: &mut wgpu::CommandEncoder) {
        encoder.clear_buffer(&self.buffer, self.start, Some(self.bytes));
    }

    /// Its size, in whole words.
    pub const fn bytes(&self) -> u64 {
        self.bytes
    }

    /// As words.
    pub const fn words(&self) -> Tensor<'_> {
        Tensor::new(&self.buffer, self.start, self.bytes / 4)
    }

    /// As so many values.
    pub const fn values(&self, len: u64, element: Element) -> Tensor<'_> {
        Tensor::new(&self.buffer, self.start, len).stored_as(element)
    }

    /// Words of a part: so many bytes from one on, a multiple of 4.
    pub const fn part(&self, from: u64, bytes: u64) -> Tensor<'_> {
        Tensor::new(&self.buffer, self.start + from, bytes.div_ceil(4))
    }
}
