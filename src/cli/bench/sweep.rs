//! Times against tensor size, from 196 KiB to what a buffer of the adapter holds.

use std::borrow::Cow;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use wgpu_batchnorm::{Element, wgpu};

use super::clock::{Clock, Stopwatch};
use super::computation::{Computation, Operation};
use super::copy::Copies;
use super::expected::Expected;
use super::loaded::Loaded;
use super::memory;
use super::row::{Processor, on_cpu};
use super::spread::Spread;
use super::task::{Input, Task};
use super::timing::{Contender, Measured, Thoroughness, measure};
use super::workload::Workload;
use crate::cli::device::Device;
use crate::cli::size::{Layout, Sizes};

/// Every tensor is a batch of copies of one such sample, 196 KiB of f32: so the expected output of a sample is that of all, and
/// so is its gradient. No size of it but the channels is a power of two, as with most networks.
const SAMPLE: [usize; 3] = [64, 28, 28];

/// Up to here each size has its own fastest copy: beyond, no cache makes a difference.
const SELECT_UP_TO: u64 = 64 << 20;
/// How often a tensor is in memory at most, where the device's memory is the host's: inputs and outputs on the host, and
/// both on the device. While an input is staged there is no output on the host yet.
fn copies_of_tensor(computations: &[Computation]) -> u64 {
    let tensors = computations.iter().map(|computation| {
        // backward: x, dy and dx
        let plain = 2 + u64::from(computation.operation == Operation::Backward);
        // the residual and its gradient
        plain + 2 * u64::from(computation.layer.residual)
    });
    2 * tensors.max().unwrap_or(0)
}
/// Samples of an output that are compared with the reference.
const CHECKED: u64 = 16;

/// Times of one computation at one size, in milliseconds.
#[derive(Clone, Debug)]
pub struct Point {
    /// Bytes of the tensor.
    pub bytes: u64,
    /// What was computed.
    pub computation: Computation,
    /// Sizes in memory order.
    pub shape: Sizes,
    /// The library's own processor path, on all cores; none for halves.
    pub cpu: Option<Spread>,
    /// The device, data already there.
    pub gpu: Spread,
    /// The copy kernel on the same buffers, timed in turn.
    pub copy: Spread,
    /// What `gpu` and `copy` were read from.
    pub clock: Clock,
    /// Rounds that were measured.
    pub rounds: usize,
    /// The largest error of the samples that were compared, as a row's.
    pub max_error: f64,
    /// What is wrong, where something is.
    pub wrong: Option<String>,
}

/// A size sweep.
#[derive(Clone, Debug)]
pub struct Sweep {
    /// The sizes that were measured, the smallest first.
    pub points: Vec<Point>,
    /// Why it ended before the largest buffer, where it did.
    pub stopped: Option<String>,
}

impl Sweep {
    /// Where the channels are.
    pub const LAYOUT: Layout = Layout::ChannelsFirst;

    /// The sizes, for people.
    pub fn sizes() -> String {
        let [channels, height, width] = SAMPLE;
        format!("Nx{channels}x{height}x{width}")
    }
}

/// Values of a sample.
fn sample_values() -> u64 {
    SAMPLE.iter().product::<usize>() as u64
}

/// Bytes of a sample of f32.
fn sample_bytes() -> u64 {
    sample_values() * Element::F32.bytes()
}

/// Batch sizes: each `factor` times the one before, and at last the largest of f32 that a buffer holds.
pub fn batches(buffer_bytes: u64, factor: u64) -> Vec<u64> {
    let most = buffer_bytes / sample_bytes();
    let mut batches: Vec<u64> =
        std::iter::successors(Some(1), |&batch: &u64| batch.checked_mul(factor))
            .take_while(|&batch| batch < most)
            .collect();
    batches.extend((most > 0).then_some(most));
    batches
}

/// How a sweep is cut to what it may take.
struct Budget {
    started: Instant,
    time: Duration,
    /// How often a tensor is in memory.
    copies: u64,
    /// The batch that was measured last, and how long that took.
    last: Option<(u64, Duration)>,
}

impl Budget {
    fn new(thoroughness: Thoroughness, copies: u64) -> Self {
        let seconds = match thoroughness {
            Thoroughness::Quick => 2,
            Thoroughness::Usual => 25,
            Thoroughness::Full => 240,
        };
        Self {
            started: Instant::now(),
            time: Duration::from_secs(seconds),
            copies,
            last: None,
        }
    }

    /// Why a batch should not be begun, where it should not: large tensors take as much longer as they are larger.
    fn refuses(&self, batch: u64, elapsed: Duration, available: Option<u64>) -> Option<String> {
        let bytes = batch * sample_bytes();
        let needed = bytes.saturating_mul(self.copies);
        // Half of it: others want memory too.
        if let Some(available) = available
            && needed > available / 2
        {
            return Some(format!(
                "tensors of {} would take {} of memory, of which {} are free",
                memory::text(bytes),
                memory::text(needed),
                memory::text(available)
            ));
        }
        let expected = self.last.map_or(Duration::ZERO, |(last, took)| {
            took.mul_f64(batch as f64 / last as f64)
        });
        (elapsed + expected > self.time).then(|| {
            format!(
                "tensors of {} would take it beyond {} s",
                memory::text(bytes),
                self.time.as_secs()
            )
        })
    }
}

/// Measures the computations at every size that time and memory allow. Calls `at` with each size before it is measured.
pub fn run(
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    copies: &mut Copies<'_>,
    computations: &[Computation],
    thoroughness: Thoroughness,
    mut at: impl FnMut(u64),
) -> Result<Sweep> {
    let limit = device.gpu.device().limits().max_buffer_size;
    let mut budget = Budget::new(thoroughness, copies_of_tensor(computations));
    let mut sweep = Sweep {
        points: Vec::new(),
        stopped: None,
    };
    let sample = Workload::custom(Sizes([&[1][..], &SAMPLE].concat()), Some(Sweep::LAYOUT))?;
    for batch in batches(limit, factor(thoroughness)) {
        let elapsed = budget.started.elapsed();
        if let Some(why) = budget.refuses(batch, elapsed, memory::available()) {
            sweep.stopped = Some(why);
            break;
        }
        at(batch * sample_bytes());
        let started = Instant::now();
        for &computation in computations {
            let size = Size {
                device,
                stopwatch,
                batch,
                computation,
            };
            let point = size
                .measure(copies, &sample, thoroughness)
                .with_context(|| format!("{} {computation}", size.sizes()))?;
            match point {
                Ok(point) => sweep.points.push(point),
                Err(OutOfMemory) => {
                    let bytes = memory::text(batch * sample_bytes());
                    sweep.stopped =
                        Some(format!("the device has no memory for tensors of {bytes}"));
                    return Ok(sweep);
                }
            }
        }
        budget.last = Some((batch, started.elapsed()));
    }
    Ok(sweep)
}

/// From one size to the next.
pub const fn factor(thoroughness: Thoroughness) -> u64 {
    match thoroughness {
        Thoroughness::Quick => 8,
        Thoroughness::Usual => 4,
        Thoroughness::Full => 2,
    }
}

/// The device has no memory for a tensor that its limits allow.
struct OutOfMemory;

/// One computation at one size.
struct Size<'a> {
    device: &'a Device,
    stopwatch: &'a Stopwatch<'a>,
    batch: u64,
    computation: Computation,
}

impl Size<'_> {
    fn sizes(&self) -> Sizes {
        Sizes([&[self.batch as usize][..], &SAMPLE].concat())
    }

    fn measure(
        &self,
        copies: &mut Copies<'_>,
        sample: &Workload,
        thoroughness: Thoroughness,
    ) -> Result<Result<Point, OutOfMemory>> {
        let Computation { operation, layer } = self.computation;
        let sample = Input::new(sample, layer)?;
        let sample = Task::new(&sample, operation)?;
        let times = self.batch as usize;
        let shape = self.sizes().shape(Sweep::LAYOUT)?;
        let task = Task {
            input: &sample.input.repeated(shape, times),
            operation,
            given: Cow::Owned(sample.given_repeated(times)),
        };
        let Some(loaded) = self.load(&task)? else {
            return Ok(Err(OutOfMemory));
        };
        self.device
            .gpu
            .run("wgpu-batchnorm", |pass| loaded.step.record(pass));
        let expected = sample.expected()?;
        let output = expected.first().expect("every operation has an output");
        let (max_error, wrong) = self.check(output, &loaded)?;

        let bytes = self.batch * sample_values() * layer.element.bytes();
        let copy = if bytes <= SELECT_UP_TO {
            copies.bind(&loaded.tensors)?
        } else {
            copies.bind_as_before(&loaded.tensors)?
        };
        let mut contenders = vec![
            Contender::device(|pass| loaded.step.record(pass)),
            Contender::device(|pass| copy.record(pass)),
        ];
        contenders.extend(on_cpu(&task, Processor::AllCores));
        let Measured {
            seconds,
            clock,
            rounds,
        } = measure(self.stopwatch, &mut contenders, thoroughness.sweep())?;
        let [gpu, copy] = [0, 1].map(|index| seconds[index].scaled(1e3));
        let cpu = seconds.get(2).map(|cpu| cpu.scaled(1e3));
        Ok(Ok(Point {
            bytes,
            computation: self.computation,
            shape: self.sizes(),
            cpu,
            gpu,
            copy,
            clock,
            rounds,
            max_error,
            wrong,
        }))
    }

    /// Uploads the task; `None` where the device has no memory for it.
    fn load(&self, task: &Task<'_>) -> Result<Option<Loaded>> {
        let scope = self
            .device
            .gpu
            .device()
            .push_error_scope(wgpu::ErrorFilter::OutOfMemory);
        let loaded = Loaded::new(self.device, task);
        match pollster::block_on(scope.pop()) {
            Some(_) => Ok(None),
            None => loaded.map(Some),
        }
    }

    /// The largest error of some samples, the first and the last among them, and what is wrong with them.
    fn check(&self, expected: &Expected, loaded: &Loaded) -> Result<(f64, Option<String>)> {
        let len = sample_values();
        let mut largest = 0.0f64;
        let count = CHECKED.min(self.batch);
        for index in 0..count {
            let number = index * (self.batch - 1) / (count - 1).max(1);
            let found = loaded.tensors.samples(self.device, number * len, len)?;
            let name = format!("{} of sample {number}", expected.name);
            let (error, wrong) = expected.compare(&name, &found);
            if wrong.is_some() {
                return Ok((error, wrong));
            }
            largest = largest.max(error);
        }
        Ok((largest, None))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KIB: u64 = 1 << 10;

    #[test]
    fn sizes_reach_from_64_kib_to_the_largest_buffer() {
        assert_eq!(sample_bytes(), 196 * KIB);
        assert_eq!(batches(196 * KIB, 2), [1]);
        assert_eq!(batches(1960 * KIB, 2), [1, 2, 4, 8, 10]);
        assert_eq!(batches(1568 * KIB, 2), [1, 2, 4, 8]);
        assert_eq!(batches(196 * KIB - 1, 2), [0u64; 0]);
        // lavapipe's: 2 GiB less a byte
        assert_eq!(batches((1 << 31) - 1, 2).last(), Some(&10699));
        assert_eq!(batches(u64::MAX, 8).last(), Some(&(u64::MAX / (196 * KIB))));
    }

    #[test]
    fn a_sweep_ends_before_it_takes_too_much() {
        let seconds = Duration::from_secs;
        let mut budget = Budget::new(Thoroughness::Usual, 4);
        let plenty = Some(1 << 40);
        assert_eq!(budget.refuses(1, seconds(0), plenty), None);
        assert_eq!(budget.refuses(1, seconds(0), None), None);
        let little = budget.refuses(1, seconds(0), Some(784 * KIB));
        let why = little.expect("too much memory");
        assert!(
            why.contains("196 KiB would take 784 KiB of memory, of which 784 KiB are free"),
            "{why}"
        );
        budget.last = Some((4, seconds(6)));
        assert_eq!(budget.refuses(8, seconds(7), plenty), None);
        let why = budget.refuses(8, seconds(14), plenty).expect("too long");
        assert!(why.contains("1.5 MiB would take it beyond 25 s"), "{why}");
    }
}
