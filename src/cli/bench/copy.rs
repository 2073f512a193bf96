//! The fastest copy of a tensor, on the adapter and on the host, by size.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::{Result, anyhow};
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel, CopyStep};

use super::clock::Stopwatch;
use super::loaded::Tensors;
use super::timing::{Contender, Effort, measure};
use crate::cli::device::Device;

/// The fastest copies of one size. Speeds count each byte twice: read and written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fastest {
    /// Bytes of the tensor.
    pub bytes: u64,
    /// Geometries that were timed.
    pub candidates: usize,
    /// The fastest of them.
    #[serde(serialize_with = "as_text")]
    pub geometry: CopyGeometry,
    /// Its speed.
    pub gigabytes_per_second: f64,
    /// The speed of the host's memcpy on one core.
    pub memcpy_one_core: f64,
    /// The same on all cores at once.
    pub memcpy_all_cores: f64,
}

fn as_text<S: Serializer>(geometry: &CopyGeometry, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(geometry)
}

/// The fastest geometry of one size.
#[derive(Clone, Copy, Debug)]
struct Selected {
    geometry: CopyGeometry,
    candidates: usize,
    seconds: f64,
}

/// Copy kernels by geometry, and the fastest by size: a copy knows nothing of a shape but its size.
pub struct Copies<'a> {
    device: &'a Device,
    stopwatch: &'a Stopwatch<'a>,
    effort: Effort,
    kernels: HashMap<CopyGeometry, CopyKernel>,
    selected: HashMap<u64, Selected>,
    reported: Vec<Fastest>,
}

impl<'a> Copies<'a> {
    /// Knows no size yet.
    pub fn new(device: &'a Device, stopwatch: &'a Stopwatch<'a>, effort: Effort) -> Self {
        Self {
            device,
            stopwatch,
            effort,
            kernels: HashMap::new(),
            selected: HashMap::new(),
            reported: Vec::new(),
        }
    }

    /// The fastest copy from `x` to `y` of what is loaded, bound to it. Times all geometries where the size is new.
    pub fn bind(&mut self, tensors: &Tensors) -> Result<CopyStep> {
        let geometry = self.select(tensors)?.geometry;
        self.step(tensors, geometry)
    }

    /// [`Copies::bind`]; the size is reported, beside the host's copies of it.
    pub fn bind_reported(&mut self, tensors: &Tensors) -> Result<CopyStep> {
        let words = tensors.words();
        let selected = self.select(tensors)?;
        let bytes = 4 * words;
        if self.reported.iter().all(|known| known.bytes != bytes) {
            let moved = 2.0 * bytes as f64;
            let [one, all] = self.memcpy(words as usize)?;
            self.reported.push(Fastest {
                bytes,
                candidates: selected.candidates,
                geometry: selected.geometry,
                gigabytes_per_second: moved / selected.seconds / 1e9,
                memcpy_one_core: moved / one / 1e9,
                memcpy_all_cores: moved / all / 1e9,
            });
        }
        self.step(tensors, selected.geometry)
    }

    /// The copy that was the fastest at the largest size so far: at sizes beyond all caches one way to copy stays the
    /// fastest.
    pub fn bind_as_before(&mut self, tensors: &Tensors) -> Result<CopyStep> {
        let largest = self.selected.iter().max_by_key(|(words, _)| **words);
        match largest.map(|(_, selected)| selected.geometry) {
            Some(geometry) => self.step(tensors, geometry),
            None => self.bind(tensors),
        }
    }

    /// What is reported, the largest size first.
    pub fn into_reported(mut self) -> Vec<Fastest> {
        self.reported
            .sort_by_key(|fastest| std::cmp::Reverse(fastest.bytes));
        self.reported
    }

    fn step(&mut self, tensors: &Tensors, geometry: CopyGeometry) -> Result<CopyStep> {
        let kernel = match self.kernels.entry(geometry) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(CopyKernel::new(
                self.device.gpu.device(),
                self.device.kernels.limits(),
                geometry,
            )),
        };
        Ok(kernel.bind(tensors.inputs[0].words(), tensors.outputs[0].words())?)
    }

    fn select(&mut self, tensors: &Tensors) -> Result<Selected> {
        let words = tensors.words();
        if let Some(selected) = self.selected.get(&words) {
            return Ok(*selected);
        }
        let candidates = CopyGeometry::candidates(self.device.kernels.limits(), words);
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for &geometry in &candidates {
            let step = self.step(tensors, geometry)?;
            contenders.push(Contender::device(move |pass| step.record(pass)));
        }
        let measured = measure(self.stopwatch, &mut contenders, self.effort)?;
        let selected = candidates
            .iter()
            .zip(measured.seconds)
            .map(|(&geometry, seconds)| Selected {
                geometry,
                candidates: candidates.len(),
                seconds: seconds.median,
            })
            .min_by(|a, b| a.seconds.total_cmp(&b.seconds))
            .ok_or_else(|| anyhow!("there is no geometry to copy in"))?;
        self.selected.insert(words, selected);
        Ok(selected)
    }

    /// Seconds to copy so many words on the host: on one core, and on all.
    fn memcpy(&self, words: usize) -> Result<[f64; 2]> {
        let source = vec![1.0f32; words];
        let one = {
            let (source, mut target) = (&source, vec![0.0f32; words]);
            Contender::host(move |times| {
                for _ in 0..times {
                    std::hint::black_box(&mut target).copy_from_slice(std::hint::black_box(source));
                }
                Ok(())
            })
        };
        let part = words.div_ceil(rayon::current_num_threads()).max(1);
        let mut target = vec![0.0f32; words];
        let all = Contender::host(|times| {
            for _ in 0..times {
                let parts = std::hint::black_box(&source).par_chunks(part);
                target
                    .par_chunks_mut(part)
                    .zip(parts)
                    .for_each(|(target, source)| target.copy_from_slice(source));
            }
            Ok(())
        });
        let measured = measure(self.stopwatch, &mut [one, all], self.effort)?;
        Ok([measured.seconds[0].median, measured.seconds[1].median])
    }
}
