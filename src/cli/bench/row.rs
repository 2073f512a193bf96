//! One row: a computation on one input, measured and checked.

use std::borrow::Cow;

use anyhow::Result;
use wgpu_batchnorm::cpu::{self, GradientsMut, NormalizedBy, RunningMut, SavedMut};
use wgpu_batchnorm::{Element, wgpu};

use super::apart::Apart;
use super::clock::{Clock, Stopwatch};
use super::computation::Computation;
use super::copy::Copies;
use super::expected::compare;
use super::loaded::Loaded;
use super::spread::Spread;
use super::task::{self, Given, Task};
use super::timing::{Contender, Effort, Measured, measure};
use super::workload::Workload;
use crate::cli::device::Device;
use crate::cli::size::{Layout, Sizes};

/// What was measured. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it belongs to, for people.
    pub group: &'static str,
    /// What was computed.
    pub computation: Computation,
    /// Where the channels are.
    pub layout: Layout,
    /// Sizes in memory order.
    pub shape: Sizes,
    /// What the tensor is called, where it has a name.
    pub name: Option<&'static str>,
    /// The library's own processor path, on all cores; none for halves.
    pub cpu: Option<Spread>,
    /// Nested loops as a textbook has them, on one core; none for halves.
    pub textbook: Option<Spread>,
    /// The device, data already there.
    pub gpu: Spread,
    /// The copy kernel on the same buffers, timed in turn.
    pub copy: Spread,
    /// The device with upload before and download after, by the wall clock.
    pub end_to_end: Spread,
    /// What `gpu` and `copy` were read from.
    pub clock: Clock,
    /// Rounds that were measured.
    pub rounds: usize,
    /// The least traffic that the operation needs, in bytes.
    pub traffic: u64,
    /// Bytes that the copy moves.
    pub copied: u64,
    /// The largest error, in the units of [`Expected`](super::expected::Expected); infinite where one of them is no number.
    pub max_error: f64,
    /// What is wrong, where something is.
    pub wrong: Option<String>,
}

impl Row {
    /// The least traffic over the device's time.
    pub fn gigabytes_per_second(&self) -> f64 {
        self.traffic as f64 / self.gpu.median / 1e6
    }

    /// The copy kernel's speed.
    pub fn copy_gigabytes_per_second(&self) -> f64 {
        self.copied as f64 / self.copy.median / 1e6
    }

    /// The one over the other.
    pub fn copy_fraction(&self) -> f64 {
        copy_fraction(self.traffic, self.gpu.median, self.copied, self.copy.median)
    }

    /// The processor's time over the device's, where there is one.
    pub fn speed_up(&self) -> Option<f64> {
        self.cpu.map(|cpu| cpu.median / self.gpu.median)
    }
}

/// The speed of an operation relative to a copy's: bytes over seconds each.
fn copy_fraction(traffic: u64, seconds: f64, copied: u64, copy_seconds: f64) -> f64 {
    (traffic as f64 / seconds) / (copied as f64 / copy_seconds)
}

/// Checks the computation once, then measures it.
pub fn run(
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    copies: &mut Copies<'_>,
    workload: &Workload,
    task: &Task<'_>,
    effort: Effort,
) -> Result<Row> {
    let loaded = Loaded::new(device, task)?;
    device
        .gpu
        .run("wgpu-batchnorm", |pass| loaded.step.record(pass));
    let (max_error, wrong) = compare(&task.expected()?, &loaded.tensors.results(device)?);

    let copy = copies.bind_reported(&loaded.tensors)?;
    let mut end_to_end = EndToEnd::new(device, task, &loaded);
    let mut contenders = vec![
        Contender::device(|pass| loaded.step.record(pass)),
        Contender::device(|pass| copy.record(pass)),
        Contender::host(|times| (0..times).try_for_each(|_| end_to_end.run())),
    ];
    contenders.extend(on_cpu(task, Processor::AllCores));
    contenders.extend(on_cpu(task, Processor::Textbook));
    let Measured {
        seconds,
        clock,
        rounds,
    } = measure(stopwatch, &mut contenders, effort)?;
    drop(contenders);
    let mut milliseconds = seconds.into_iter().map(|spread| spread.scaled(1e3));
    let mut next = || milliseconds.next();
    let measured = "each contender is measured";
    Ok(Row {
        group: workload.group,
        computation: task.computation(),
        layout: workload.layout,
        shape: workload.sizes.clone(),
        name: workload.name,
        gpu: next().expect(measured),
        copy: next().expect(measured),
        end_to_end: next().expect(measured),
        cpu: next(),
        textbook: next(),
        clock,
        rounds,
        traffic: loaded.plan.minimum_traffic(),
        copied: 2 * 4 * loaded.tensors.words(),
        max_error,
        wrong,
    })
}

/// Which path of the processor.
#[derive(Clone, Copy)]
pub enum Processor {
    /// The library's own.
    AllCores,
    /// Nested loops.
    Textbook,
}

/// The computation on the processor, over and over on the same memory; none where the processor's paths do not have it: they
/// compute on f32.
pub fn on_cpu<'a>(task: &'a Task<'_>, processor: Processor) -> Option<Contender<'a>> {
    if task.input.layer.element != Element::F32 {
        return None;
    }
    let (x, shape) = (&task.input.x[..], task.input.shape);
    let (residual, parameters) = (task.input.residual.as_deref(), task.parameters());
    let mut y = vec![0.0; x.len()];
    let vector = || vec![0.0; shape.channels() as usize];
    Some(match &*task.given {
        Given::Running { mean, variance } => {
            let options = task.inference();
            let inference = match processor {
                Processor::AllCores => cpu::inference,
                Processor::Textbook => cpu::textbook_inference,
            };
            Contender::host(move |times| {
                for _ in 0..times {
                    inference(
                        x, residual, &mut y, shape, parameters, mean, variance, &options,
                    )?;
                }
                Ok(())
            })
        }
        Given::Nothing => {
            let options = task.training();
            let mut running = [vector(), vec![1.0; shape.channels() as usize]];
            let mut batches = vec![0; shape.channels() as usize];
            let mut saved = [vector(), vector(), vector()];
            let training = match processor {
                Processor::AllCores => cpu::training,
                Processor::Textbook => cpu::textbook_training,
            };
            Contender::host(move |times| {
                for _ in 0..times {
                    let [mean, variance] = &mut running;
                    let running = RunningMut {
                        mean,
                        variance,
                        batches: &mut batches,
                    };
                    let [mean, remainder, invstd] = &mut saved;
                    let saved = SavedMut {
                        mean,
                        remainder,
                        invstd,
                    };
                    training(
                        x,
                        residual,
                        &mut y,
                        shape,
                        parameters,
                        &options,
                        Some(running),
                        Some(saved),
                    )?;
                }
                Ok(())
            })
        }
        Given::Gradient { dy, saved } => {
            let options = task.backward();
            let mut gradients = [vector(), vector()];
            let mut of_residual = task.input.layer.residual.then(|| vec![0.0; x.len()]);
            let backward = match processor {
                Processor::AllCores => cpu::backward,
                Processor::Textbook => cpu::textbook_backward,
            };
            Contender::host(move |times| {
                for _ in 0..times {
                    let [gamma, beta] = &mut gradients;
                    let gradients = GradientsMut {
                        input: Some(&mut y),
                        gamma: Some(gamma),
                        beta: Some(beta),
                        residual: of_residual.as_deref_mut(),
                    };
                    let by = NormalizedBy::Batch(task::saved(saved));
                    backward(x, dy, residual, shape, parameters, by, &options, gradients)?;
                }
                Ok(())
            })
        }
    })
}

/// The computation as one who has the tensors on the host sees it.
struct EndToEnd<'a> {
    device: &'a Device,
    loaded: &'a Loaded,
    inputs: Vec<Cow<'a, [u8]>>,
    staging: Vec<wgpu::Buffer>,
    outputs: Vec<Vec<u8>>,
}

impl<'a> EndToEnd<'a> {
    fn new(device: &'a Device, task: &'a Task<'_>, loaded: &'a Loaded) -> Self {
        let staging = |output: &Apart| {
            device.gpu.device().create_buffer(&wgpu::BufferDescriptor {
                label: Some("download"),
                size: output.bytes(),
                usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
                mapped_at_creation: false,
            })
        };
        let outputs = loaded.tensors.outputs.iter();
        Self {
            device,
            loaded,
            inputs: loaded.tensors.stored(task),
            staging: outputs.clone().map(staging).collect(),
            outputs: outputs
                .map(|output| vec![0; output.bytes() as usize])
                .collect(),
        }
    }

    fn run(&mut self) -> Result<()> {
        let (gpu, loaded) = (&self.device.gpu, self.loaded);
        for (input, bytes) in loaded.tensors.inputs.iter().zip(&self.inputs) {
            input.write(gpu, bytes);
        }
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        loaded
            .step
            .record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        for (output, staging) in loaded.tensors.outputs.iter().zip(&self.staging) {
            output.copy_to(&mut encoder, staging);
            encoder.map_buffer_on_submit(staging, wgpu::MapMode::Read, .., |_| {});
        }
        gpu.queue().submit([encoder.finish()]);
        gpu.wait()?;
        for (staging, output) in self.staging.iter().zip(&mut self.outputs) {
            // Fails where the mapping has.
            output.copy_from_slice(&staging.get_mapped_range(..)?);
            staging.unmap();
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_copy_fraction_is_a_ratio_of_speeds() {
        // Training moves three tensors where a copy moves two: in 1.5 times its time it is exactly as fast.
        assert_eq!(copy_fraction(12, 1.5, 8, 1.0), 1.0);
        assert_eq!(copy_fraction(8, 2.0, 8, 1.0), 0.5);
        assert_eq!(copy_fraction(8, 0.5, 8, 1.0), 2.0);
    }
}
