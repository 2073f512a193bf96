//! What benches set beside the copy kernel.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use clap::ValueEnum;
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel};
use wgpu_batchnorm::{
    Backward, Buffers, Gpu, Inference, Kernels, Limits, Packed, Plan, Shape, Tensor, Training, wgpu,
};

use crate::tensors::Tensors;

#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Operation {
    Copy,
    Inference,
    Training,
    Backward,
}

/// An operation on tensors of a shape.
pub struct Bound {
    record: Box<dyn Fn(&mut wgpu::ComputePass<'_>)>,
    /// Bytes of the least traffic of one recording.
    pub traffic: u64,
}

impl Operation {
    pub fn name(self) -> &'static str {
        match self {
            Self::Copy => "copy",
            Self::Inference => "inference",
            Self::Training => "training",
            Self::Backward => "backward",
        }
    }

    /// Binds it to these tensors. Inputs are x, and y as the gradient of the output; the copy is that of a geometry.
    pub fn bind(
        self,
        gpu: &Gpu,
        kernels: &Kernels,
        shape: Shape,
        tensors: &Tensors,
        geometry: CopyGeometry,
    ) -> Result<Bound> {
        let whole = Tensor::whole;
        let limits = kernels.limits();
        let element = tensors.element;
        let training = Training::default().element(element);
        let (plan, step) = match self {
            Self::Copy => {
                let copy = CopyKernel::new(gpu.device(), limits, geometry)
                    .bind(tensors.x.words(), tensors.y.words())?;
                return Ok(Bound {
                    record: Box::new(move |pass| copy.record(pass)),
                    // what it reads, and what it writes
                    traffic: 2 * tensors.x.bytes(),
                });
            }
            Self::Inference => {
                let plan = Plan::inference(limits, shape, &Inference::default().element(element))?;
                let step = plan.bind(kernels, tensors.buffers())?;
                (plan, step)
            }
            Self::Training => {
                let plan = Plan::training(limits, shape, &training)?;
                let buffers = tensors.buffers().saved(whole(&tensors.saved));
                let step = plan.bind(kernels, buffers)?;
                (plan, step)
            }
            Self::Backward => {
                let plan = Plan::backward(limits, shape, &Backward::from(&training))?;
                let parameters = Packed::new(shape.channels()).parameters();
                let grad_parameters = gpu.zeros(parameters, "grad_parameters")?;
                let buffers =
                    Buffers::backward(tensors.values(&tensors.x), tensors.values(&tensors.y))
                        .parameters(whole(&tensors.parameters))
                        .saved(whole(&tensors.saved))
                        .grad_input(tensors.values(&tensors.grad_input))
                        .grad_parameters(whole(&grad_parameters));
                let step = plan.bind(kernels, buffers)?;
                (plan, step)
            }
        };
        Ok(Bound {
            traffic: plan.minimum_traffic(),
            record: Box::new(move |pass| step.record(pass)),
        })
    }
}

impl Bound {
    /// The time of so many recordings in one pass, from submission to completion.
    pub fn time(&self, gpu: &Gpu, recordings: u64) -> Result<Duration> {
        let start = Instant::now();
        gpu.run("bench", |pass| {
            (0..recordings).for_each(|_| (self.record)(pass));
        });
        gpu.wait()?;
        Ok(start.elapsed())
    }
}

/// Rounds, in each of which all copies are timed once.
const ROUNDS: usize = 9;

/// The geometry of the fastest copy of such tensors, and its place among the candidates.
pub fn fastest_copy(
    gpu: &Gpu,
    limits: &Limits,
    shape: Shape,
    tensors: &Tensors,
) -> Result<(usize, CopyGeometry)> {
    let kernels = Kernels::new(gpu.device());
    let candidates = CopyGeometry::candidates(limits, tensors.x.bytes() / 4);
    let mut copies = Vec::with_capacity(candidates.len());
    for &geometry in &candidates {
        let copy = Operation::Copy.bind(gpu, &kernels, shape, tensors, geometry)?;
        // The first time compiles.
        copy.time(gpu, 1)?;
        copies.push((copy, Vec::with_capacity(ROUNDS)));
    }
    // In turn, so that what disturbs one disturbs all.
    for _ in 0..ROUNDS {
        for (copy, times) in &mut copies {
            times.push(copy.time(gpu, 4)?);
        }
    }
    let medians = copies.into_iter().map(|(_, times)| median(times));
    let fastest = medians.enumerate().min_by_key(|(_, time)| *time);
    let (index, _) = fastest.context("every device has candidates")?;
    Ok((index, candidates[index]))
}

/// The time in the middle.
pub fn median(mut times: Vec<Duration>) -> Duration {
    times.sort_unstable();
    times[times.len() / 2]
}
