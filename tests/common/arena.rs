//! Tensors among guard values, in one buffer or in several.

use wgpu_batchnorm::{Gpu, Tensor, wgpu};

/// What surrounds tensors: a NaN that no kernel computes.
pub const GUARD: u32 = 0x7fc5_a5a5;
/// What outputs hold before they are written: another.
pub const UNWRITTEN: u32 = 0x7fc5_dead;
/// Guards after the last tensor of a buffer.
const BEHIND: usize = 67;
/// Words between two offsets that serve as storage bindings everywhere.
const ALIGNED: usize = 64;

/// A tensor's words in one of the buffers.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    pub buffer: usize,
    pub start: usize,
    pub len: usize,
}

impl Place {
    pub fn part(self, start: usize, len: usize) -> Self {
        Self {
            start: self.start + start,
            len,
            ..self
        }
    }
}

/// Buffers in the making.
#[derive(Clone, Debug)]
pub struct Arena {
    pooled: bool,
    gap: usize,
    pub words: Vec<Vec<u32>>,
}

impl Arena {
    /// One pool with at least `gap` guards between tensors, or a buffer for each tensor.
    pub fn new(pooled: bool, gap: usize) -> Self {
        Self {
            pooled,
            gap,
            words: vec![],
        }
    }

    /// Places a tensor at this byte offset; in a pool at the next place as far from a multiple of 256.
    pub fn place(&mut self, offset: u64, words: &[u32]) -> Place {
        let offset = offset as usize / 4;
        if !self.pooled || self.words.is_empty() {
            self.words.push(vec![]);
        }
        let buffer = self.words.len() - 1;
        let pool = &mut self.words[buffer];
        let mut start = offset;
        if !pool.is_empty() {
            start = pool.len() + self.gap;
            while start % ALIGNED != offset % ALIGNED {
                start += 1;
            }
        }
        pool.resize(start, GUARD);
        pool.extend_from_slice(words);
        Place {
            buffer,
            start,
            len: words.len(),
        }
    }

    /// The buffers, guards behind each.
    pub fn upload(&mut self, gpu: &Gpu) -> Vec<wgpu::Buffer> {
        let upload = |words: &mut Vec<u32>| {
            words.resize(words.len() + BEHIND, GUARD);
            gpu.upload(words, "arena").expect("a buffer of this size")
        };
        self.words.iter_mut().map(upload).collect()
    }
}

/// A place as the library takes it.
pub fn tensor(buffers: &[wgpu::Buffer], place: Place) -> Tensor<'_> {
    Tensor::new(
        &buffers[place.buffer],
        4 * place.start as u64,
        place.len as u64,
    )
}

/// What buffers hold now.
pub fn download(gpu: &Gpu, buffers: &[wgpu::Buffer]) -> Vec<Vec<u32>> {
    let download = |buffer| gpu.blocking_download(Tensor::whole(buffer));
    let words = buffers.iter().map(download);
    words.map(|words| words.expect("a live device")).collect()
}

/// The first word outside these places that has changed.
pub fn touched(before: &[Vec<u32>], after: &[Vec<u32>], written: &[Place]) -> Option<String> {
    for (buffer, (before, after)) in before.iter().zip(after).enumerate() {
        let mut inside = vec![false; before.len()];
        for place in written.iter().filter(|place| place.buffer == buffer) {
            inside[place.start..place.start + place.len].fill(true);
        }
        let mut words = before.iter().zip(after).zip(inside).enumerate();
        let changed = words.find(|(_, ((before, after), inside))| !inside && before != after);
        if let Some((word, ((before, after), _))) = changed {
            return Some(format!(
                "word {word} of buffer {buffer}, outside the outputs: {after:#x} was {before:#x}"
            ));
        }
    }
    None
}
