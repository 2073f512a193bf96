//! One row: an operation on one input, measured and checked.

use anyhow::Result;
use serde::Serialize;
use wgpu_batchnorm::cpu::{self, RunningMut, SavedMut};
use wgpu_batchnorm::wgpu;

use super::copy::Copies;
use super::timing::{Contender, Effort, measure};
use super::workload::{Operation, Workload};
use crate::cli::compare::Tolerance;
use crate::cli::device::{Device, Loaded, Placement};
use crate::cli::problem::{Problem, Solution, State, Statistics};
use crate::cli::size::{Layout, Sizes};

/// What was measured. Times are medians, in milliseconds.
#[derive(Clone, Debug, Serialize)]
pub struct Row {
    /// What it belongs to, for people.
    #[serde(skip)]
    pub group: &'static str,
    /// What was computed.
    pub operation: Operation,
    /// Where the channels are.
    pub layout: Layout,
    /// Sizes in memory order.
    pub shape: Sizes,
    /// What the tensor is called, where it has a name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<&'static str>,
    /// The element type of the tensor.
    pub element: &'static str,
    /// The library's own processor path, on all cores.
    pub cpu_ms: f64,
    /// The threads it ran on.
    pub threads: usize,
    /// Nested loops as a textbook has them, on one core.
    pub textbook_ms: f64,
    /// The device, from submission to completion, data already there.
    pub gpu_ms: f64,
    /// The device with upload before and download after.
    pub end_to_end_ms: f64,
    /// The least traffic that the operation needs, over the device's time.
    pub gigabytes_per_second: f64,
    /// The copy kernel's speed, timed in turn with the operation.
    pub copy_gigabytes_per_second: f64,
    /// The one over the other.
    pub copy_fraction: f64,
    /// The processor's time over the device's.
    pub speed_up: f64,
    /// Rounds that the medians are taken over.
    pub rounds: usize,
    /// The largest `|value - f64 reference| / max(1, |f64 reference|)`; infinite, null in JSON, where one of them is no
    /// number.
    pub max_error: f64,
    /// What is wrong, where something is.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub wrong: Option<String>,
}

/// The speed of an operation relative to a copy's: bytes over seconds each.
fn copy_fraction(traffic: u64, seconds: f64, copied: u64, copy_seconds: f64) -> f64 {
    (traffic as f64 / seconds) / (copied as f64 / copy_seconds)
}

/// Checks the operation once, then measures it.
pub fn run(
    device: &Device,
    copies: &mut Copies,
    workload: &Workload,
    problem: &Problem,
    operation: Operation,
    effort: Effort,
) -> Result<Row> {
    let loaded = device.load(problem, Placement::Whole)?;
    device.repeat(1, |pass| loaded.step.record(pass))?;
    let (max_error, wrong) = check(problem, &loaded.solution(device)?)?;

    let copy = copies.bind(device, &loaded)?;
    let mut end_to_end = EndToEnd::new(device, problem, &loaded);
    let mut contenders: [Contender<'_>; 5] = [
        Box::new(|times| device.repeat(times, |pass| loaded.step.record(pass))),
        Box::new(|times| device.repeat(times, |pass| copy.record(pass))),
        on_cpu(problem, Processor::AllCores),
        on_cpu(problem, Processor::Textbook),
        Box::new(|times| (0..times).try_for_each(|_| end_to_end.run())),
    ];
    let (seconds, rounds) = measure(&mut contenders, effort)?;
    drop(contenders);
    let [gpu, copy, cpu, textbook, end_to_end] = seconds[..] else {
        unreachable!("one time for each contender");
    };

    let traffic = loaded.plan.minimum_traffic();
    let copied = 8 * problem.shape.len();
    Ok(Row {
        group: workload.group,
        operation,
        layout: workload.layout,
        shape: workload.sizes.clone(),
        name: workload.name,
        element: "f32",
        cpu_ms: 1e3 * cpu,
        threads: rayon::current_num_threads(),
        textbook_ms: 1e3 * textbook,
        gpu_ms: 1e3 * gpu,
        end_to_end_ms: 1e3 * end_to_end,
        gigabytes_per_second: traffic as f64 / gpu / 1e9,
        copy_gigabytes_per_second: copied as f64 / copy / 1e9,
        copy_fraction: copy_fraction(traffic, gpu, copied, copy),
        speed_up: cpu / gpu,
        rounds,
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

enum Processor {
    AllCores,
    Textbook,
}

/// The operation on the processor, over and over on the same memory.
fn on_cpu(problem: &Problem, processor: Processor) -> Contender<'_> {
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
            Box::new(move |times| {
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
            Box::new(move |times| {
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
            shape,
            x: vec![1.0, 3.0],
            gamma: None,
            beta: None,
            epsilon: 0.0,
            statistics: Statistics::Batch(None),
        };
        let right = Solution {
            y: vec![-1.0, 1.0],
            state: None,
        };
        assert_eq!(check(&problem, &right).expect("a reference"), (0.0, None));
        let wrong = Solution {
            y: vec![-1.0, 1.001],
            state: None,
        };
        let (error, message) = check(&problem, &wrong).expect("a reference");
        assert!((error - 1e-3).abs() < 1e-6);
        assert!(message.is_some_and(|message| message.contains('y') && message.contains("1.001")));
        let nan = Solution {
            y: vec![f32::NAN, 1.0],
            state: None,
        };
        assert_eq!(check(&problem, &nan).expect("a reference").0, f64::INFINITY);
    }
}
