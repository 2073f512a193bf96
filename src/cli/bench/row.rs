//! One row: an operation on one input, measured and checked.

use anyhow::Result;
use wgpu_batchnorm::cpu::{self, RunningMut, SavedMut};
use wgpu_batchnorm::{Element, wgpu};

use super::clock::{Clock, Stopwatch};
use super::copy::Copies;
use super::spread::Spread;
use super::timing::{Contender, Effort, Measured, measure};
use super::workload::{Operation, Workload};
use crate::cli::compare::Tolerance;
use crate::cli::device::{Device, Loaded, Placement};
use crate::cli::problem::{Problem, Solution, State, Statistics};
use crate::cli::size::{Layout, Sizes};

/// What was measured. Times are in milliseconds.
#[derive(Clone, Debug)]
pub struct Row {
    /// What it belongs to, for people.
    pub group: &'static str,
    /// What was computed.
    pub operation: Operation,
    /// Where the channels are.
    pub layout: Layout,
    /// Sizes in memory order.
    pub shape: Sizes,
    /// What the tensor is called, where it has a name.
    pub name: Option<&'static str>,
    /// The element type of the tensor.
    pub element: Element,
    /// The library's own processor path, on all cores.
    pub cpu: Spread,
    /// Nested loops as a textbook has them, on one core.
    pub textbook: Spread,
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
    /// The largest `|value - f64 reference| / max(1, |f64 reference|)`; infinite where one of them is no number.
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

    /// The processor's time over the device's.
    pub fn speed_up(&self) -> f64 {
        self.cpu.median / self.gpu.median
    }
}

/// The speed of an operation relative to a copy's: bytes over seconds each.
fn copy_fraction(traffic: u64, seconds: f64, copied: u64, copy_seconds: f64) -> f64 {
    (traffic as f64 / seconds) / (copied as f64 / copy_seconds)
}

/// Checks the operation once, then measures it.
pub fn run(
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    copies: &mut Copies<'_>,
    workload: &Workload,
    problem: &Problem,
    operation: Operation,
    effort: Effort,
) -> Result<Row> {
    let loaded = device.load(problem, Placement::Whole)?;
    device
        .gpu
        .run("wgpu-batchnorm", |pass| loaded.step.record(pass));
    let (max_error, wrong) = check(problem, &loaded.solution(device)?)?;

    let copy = copies.bind_reported(&loaded)?;
    let mut end_to_end = EndToEnd::new(device, problem, &loaded);
    let mut contenders = [
        Contender::device(|pass| loaded.step.record(pass)),
        Contender::device(|pass| copy.record(pass)),
        on_cpu(problem, Processor::AllCores),
        on_cpu(problem, Processor::Textbook),
        Contender::host(|times| (0..times).try_for_each(|_| end_to_end.run())),
    ];
    let Measured {
        seconds,
        clock,
        rounds,
    } = measure(stopwatch, &mut contenders, effort)?;
    drop(contenders);
    let milliseconds = |index: usize| seconds[index].scaled(1e3);
    Ok(Row {
        group: workload.group,
        operation,
        layout: workload.layout,
        shape: workload.sizes.clone(),
        name: workload.name,
        element: workload.element,
        gpu: milliseconds(0),
        copy: milliseconds(1),
        cpu: milliseconds(2),
        textbook: milliseconds(3),
        end_to_end: milliseconds(4),
        clock,
        rounds,
        traffic: loaded.plan.minimum_traffic(),
        copied: 2 * workload.bytes()?,
        max_error,
        wrong,
    })
}

/// The largest error of the output, and what is wrong with output or running statistics.
fn check(problem: &Problem, solution: &Solution) -> Result<(f64, Option<String>)> {
    let compared = solution.compare(&problem.exact()?, Tolerance::PROMISE);
    let max_error = compared
        .iter()
        .map(|(_, comparison)| comparison.scaled_error())
        .fold(0.0, f64::max);
    let wrong = compared
        .into_iter()
        .find(|(_, comparison)| !comparison.is_within());
    Ok((
        max_error,
        wrong.map(|(tensor, comparison)| comparison.describe(tensor)),
    ))
}

/// Which path of the processor.
pub enum Processor {
    /// The library's own.
    AllCores,
    /// Nested loops.
    Textbook,
}

/// The operation on the processor, over and over on the same memory.
pub fn on_cpu(problem: &Problem, processor: Processor) -> Contender<'_> {
    let mut y = vec![0.0; problem.x.len()];
    let channels = problem.shape.channels() as usize;
    let (x, shape, parameters) = (&problem.x, problem.shape, problem.parameters());
    match &problem.statistics {
        Statistics::Given(State { mean, variance, .. }) => {
            let options = problem.inference();
            let inference = match processor {
                Processor::AllCores => cpu::inference,
                Processor::Textbook => cpu::textbook_inference,
            };
            Contender::host(move |times| {
                for _ in 0..times {
                    inference(x, None, &mut y, shape, parameters, mean, variance, &options)?;
                }
                Ok(())
            })
        }
        Statistics::Batch(running) => {
            let options = problem.training().saved(true);
            let mut state = running.as_ref().map(|(_, state)| state.clone());
            let mut batches = vec![0; channels];
            let mut saved = [
                vec![0.0; channels],
                vec![0.0; channels],
                vec![0.0; channels],
            ];
            let training = match processor {
                Processor::AllCores => cpu::training,
                Processor::Textbook => cpu::textbook_training,
            };
            Contender::host(move |times| {
                for _ in 0..times {
                    let running = state.as_mut().map(|state| RunningMut {
                        mean: &mut state.mean,
                        variance: &mut state.variance,
                        batches: &mut batches,
                    });
                    let [mean, remainder, invstd] = &mut saved;
                    let saved = SavedMut {
                        mean,
                        remainder,
                        invstd,
                    };
                    training(
                        x,
                        None,
                        &mut y,
                        shape,
                        parameters,
                        &options,
                        running,
                        Some(saved),
                    )?;
                }
                Ok(())
            })
        }
    }
}

/// The operation as one who has the data on the host sees it.
struct EndToEnd<'a> {
    device: &'a Device,
    loaded: &'a Loaded,
    x: &'a [f32],
    staging: wgpu::Buffer,
    y: Vec<f32>,
}

impl<'a> EndToEnd<'a> {
    fn new(device: &'a Device, problem: &'a Problem, loaded: &'a Loaded) -> Self {
        let staging = device.gpu.device().create_buffer(&wgpu::BufferDescriptor {
            label: Some("download"),
            size: loaded.y.size(),
            usage: wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            mapped_at_creation: false,
        });
        Self {
            device,
            loaded,
            x: &problem.x,
            staging,
            y: vec![0.0; problem.x.len()],
        }
    }

    fn run(&mut self) -> Result<()> {
        let gpu = &self.device.gpu;
        gpu.queue()
            .write_buffer(&self.loaded.x, 0, bytemuck::cast_slice(self.x));
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        self.loaded
            .step
            .record(&mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor::default()));
        encoder.copy_buffer_to_buffer(&self.loaded.y, 0, &self.staging, 0, self.staging.size());
        encoder.map_buffer_on_submit(&self.staging, wgpu::MapMode::Read, .., |_| {});
        gpu.queue().submit([encoder.finish()]);
        gpu.wait()?;
        // Fails where the mapping has.
        bytemuck::cast_slice_mut(&mut self.y).copy_from_slice(&self.staging.get_mapped_range(..)?);
        self.staging.unmap();
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

    #[test]
    fn a_wrong_value_fails_the_row_by_name() {
        use wgpu_batchnorm::Shape;
        let shape = Shape::channels_last(&[2, 1]).expect("a shape");
        let problem = Problem {
            epsilon: 0.0,
            ..Problem::new(shape, vec![1.0, 3.0])
        };
        let right = Solution {
            y: vec![-1.0, 1.0],
            ..Solution::default()
        };
        assert_eq!(check(&problem, &right).expect("a reference"), (0.0, None));
        let wrong = Solution {
            y: vec![-1.0, 1.001],
            ..Solution::default()
        };
        let (error, message) = check(&problem, &wrong).expect("a reference");
        assert!((error - 1e-3).abs() < 1e-6);
        assert!(message.is_some_and(|message| message.contains('y') && message.contains("1.001")));
        let nan = Solution {
            y: vec![f32::NAN, 1.0],
            ..Solution::default()
        };
        assert_eq!(check(&problem, &nan).expect("a reference").0, f64::INFINITY);
    }
}
