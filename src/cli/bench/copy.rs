//! The fastest copy of a tensor, on the adapter and on the host, by size.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use anyhow::{Result, anyhow};
use rayon::prelude::*;
use serde::{Serialize, Serializer};
use wgpu_batchnorm::Tensor;
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel, CopyStep};

use super::timing::{Contender, Effort, measure};
use crate::cli::device::{Device, Loaded};

/// The fastest copies of one size. Speeds count each byte twice: read and written.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Fastest {
    /// Values of the tensor.
    pub values: u64,
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

/// Copy kernels by geometry, and the fastest by size: a copy knows nothing of a shape but its size.
#[derive(Default)]
pub struct Copies {
    kernels: HashMap<CopyGeometry, CopyKernel>,
    fastest: HashMap<u64, Fastest>,
}

impl Copies {
    /// The fastest copy from `x` to `y` of what is loaded, bound to it. Times all geometries where the size is new.
    pub fn bind(&mut self, device: &Device, loaded: &Loaded) -> Result<CopyStep> {
        let values = loaded.plan.shape().len();
        let geometry = match self.fastest.get(&values) {
            Some(fastest) => fastest.geometry,
            None => {
                let fastest = self.select(device, loaded, values)?;
                self.fastest.insert(values, fastest);
                fastest.geometry
            }
        };
        self.step(device, loaded, geometry)
    }

    /// What was found so far, the largest size first.
    pub fn found(&self) -> Vec<Fastest> {
        let mut found: Vec<Fastest> = self.fastest.values().copied().collect();
        found.sort_by_key(|fastest| std::cmp::Reverse(fastest.values));
        found
    }

    fn step(
        &mut self,
        device: &Device,
        loaded: &Loaded,
        geometry: CopyGeometry,
    ) -> Result<CopyStep> {
        let kernel = match self.kernels.entry(geometry) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(new) => new.insert(CopyKernel::new(
                device.gpu.device(),
                device.kernels.limits(),
                geometry,
            )),
        };
        Ok(kernel.bind(Tensor::whole(&loaded.x), Tensor::whole(&loaded.y))?)
    }

    fn select(&mut self, device: &Device, loaded: &Loaded, values: u64) -> Result<Fastest> {
        let candidates = CopyGeometry::candidates(device.kernels.limits(), values);
        let mut contenders: Vec<Contender<'_>> = Vec::new();
        for &geometry in &candidates {
            let step = self.step(device, loaded, geometry)?;
            contenders.push(Box::new(move |times| {
                device.repeat(times, |pass| step.record(pass))
            }));
        }
        let (seconds, _) = measure(&mut contenders, Effort::SELECTION)?;
        let (geometry, seconds) = candidates
            .iter()
            .zip(seconds)
            .min_by(|(_, a), (_, b)| a.total_cmp(b))
            .ok_or_else(|| anyhow!("there is no geometry to copy in"))?;
        let moved = 8.0 * values as f64;
        let [one, all] = memcpy(values as usize)?;
        Ok(Fastest {
            values,
            candidates: candidates.len(),
            geometry: *geometry,
            gigabytes_per_second: moved / seconds / 1e9,
            memcpy_one_core: moved / one / 1e9,
            memcpy_all_cores: moved / all / 1e9,
        })
    }
}

/// Seconds to copy so many values on the host: on one core, and on all.
fn memcpy(values: usize) -> Result<[f64; 2]> {
    let source = vec![1.0f32; values];
    let mut target = vec![0.0f32; values];
    let one: Contender<'_> = {
        let (source, mut target) = (&source, target.clone());
        Box::new(move |times| {
            for _ in 0..times {
                std::hint::black_box(&mut target).copy_from_slice(std::hint::black_box(source));
            }
            Ok(())
        })
    };
    let part = values.div_ceil(rayon::current_num_threads()).max(1);
    let all: Contender<'_> = Box::new(|times| {
        for _ in 0..times {
            let parts = std::hint::black_box(&source).par_chunks(part);
            target
                .par_chunks_mut(part)
                .zip(parts)
                .for_each(|(target, source)| target.copy_from_slice(source));
        }
        Ok(())
    });
    let (seconds, _) = measure(&mut [one, all], Effort::SELECTION)?;
    Ok([seconds[0], seconds[1]])
}
