//! Two clocks for the device: its own timestamps, where they can be believed, and the host's.

use std::fmt;
use std::time::Instant;

use anyhow::{Result, anyhow};
use serde::Serialize;
use wgpu_batchnorm::yardstick::{CopyGeometry, CopyKernel, CopyStep};
use wgpu_batchnorm::{Tensor, wgpu};

use super::spread::Spread;
use crate::cli::device::Device;

/// What the device's times are read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Clock {
    /// Timestamp queries: from the start of the first dispatch to the end of the last.
    Timestamps,
    /// The host: from submission to completion.
    Wall,
}

impl fmt::Display for Clock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Timestamps => "timestamps",
            Self::Wall => "wall",
        })
    }
}

/// Seconds that something took, by both clocks.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Reading {
    /// By the host.
    pub wall: f64,
    /// By the device's timestamps, where they were asked for and can be true.
    pub device: Option<f64>,
}

impl Reading {
    /// `device` is what the timestamps say, negative where the second is before the first.
    fn new(wall: f64, device: Option<f64>) -> Self {
        Self {
            wall,
            device: device.filter(|&device| is_possible(device, wall)),
        }
    }
}

/// Whether the device can have worked for so long while the host waited for so long. The host's part is work too, so
/// only a small fraction of its time is too little; a device's clock may run faster than the host's by a little.
fn is_possible(device: f64, wall: f64) -> bool {
    device > 0.01 * wall && device < 1.05 * wall
}

/// Whether readings of long work make sense, done once and several times over: at every length most readings are possible,
/// and of most of them the device was at work for most of the wall time. A clock that stands still or has another unit
/// fails at one length or the other; a host that is busy for a moment spoils one reading. `None` where they make sense,
/// else what is wrong.
fn disbelief(readings: &[(u32, Reading)]) -> Option<String> {
    for &(length, first) in readings {
        let of_length = readings.iter().filter(|(times, _)| *times == length);
        // What is not possible counts as nothing.
        let shares = of_length.map(|(_, reading)| reading.device.unwrap_or(0.0) / reading.wall);
        let share = Spread::of(shares.collect())?.median;
        if share < 0.5 {
            let wall = 1e3 * first.wall;
            return Some(if share > 0.0 {
                format!(
                    "timestamps say {:.2} ms of work that took {wall:.1} ms",
                    share * wall
                )
            } else {
                format!(
                    "timestamps cannot be right: zero, negative or more than the {wall:.1} ms that passed"
                )
            });
        }
    }
    None
}

/// Takes the time of work on the device.
pub struct Stopwatch<'a> {
    device: &'a Device,
    queries: Option<Queries>,
    refusal: Option<String>,
}

struct Queries {
    set: wgpu::QuerySet,
    resolved: wgpu::Buffer,
    staging: wgpu::Buffer,
    /// Seconds per tick.
    period: f64,
}

/// Two timestamps of 8 bytes.
const QUERY_BYTES: u64 = 16;

impl Queries {
    fn new(device: &Device) -> Self {
        let (gpu, queue) = (device.gpu.device(), device.gpu.queue());
        let buffer = |label, usage| {
            gpu.create_buffer(&wgpu::BufferDescriptor {
                label: Some(label),
                size: QUERY_BYTES,
                usage,
                mapped_at_creation: false,
            })
        };
        Self {
            set: gpu.create_query_set(&wgpu::QuerySetDescriptor {
                label: Some("timestamps"),
                ty: wgpu::QueryType::Timestamp,
                count: 2,
            }),
            resolved: buffer(
                "timestamps",
                wgpu::BufferUsages::QUERY_RESOLVE | wgpu::BufferUsages::COPY_SRC,
            ),
            staging: buffer(
                "timestamps to read",
                wgpu::BufferUsages::MAP_READ | wgpu::BufferUsages::COPY_DST,
            ),
            period: 1e-9 * f64::from(queue.get_timestamp_period()),
        }
    }

    /// Seconds between the two timestamps, which the device has written.
    fn read(&self) -> Result<f64> {
        let mapped = self.staging.get_mapped_range(..)?;
        let ticks: &[i64] = bytemuck::cast_slice(&mapped);
        let seconds = ticks[1].wrapping_sub(ticks[0]) as f64 * self.period;
        drop(mapped);
        self.staging.unmap();
        Ok(seconds)
    }
}

impl<'a> Stopwatch<'a> {
    /// Looks at the device's timestamps beside the wall clock, and uses them where they make sense.
    pub fn new(device: &'a Device) -> Result<Self> {
        let mut stopwatch = Self::by_wall(device);
        let has_queries = device
            .gpu
            .device()
            .features()
            .contains(wgpu::Features::TIMESTAMP_QUERY);
        if !has_queries {
            stopwatch.refusal = Some("the adapter has no timestamp queries".to_owned());
            return Ok(stopwatch);
        }
        stopwatch.queries = Some(Queries::new(device));
        stopwatch.refusal = disbelief(&stopwatch.probe()?);
        if stopwatch.refusal.is_some() {
            stopwatch.queries = None;
        }
        Ok(stopwatch)
    }

    /// Uses the host's clock alone.
    fn by_wall(device: &'a Device) -> Self {
        Self {
            device,
            queries: None,
            refusal: None,
        }
    }

    /// What the device's times are read from.
    pub fn clock(&self) -> Clock {
        match self.queries {
            Some(_) => Clock::Timestamps,
            None => Clock::Wall,
        }
    }

    /// Why timestamps are not used, where they are not.
    pub fn refusal(&self) -> Option<&str> {
        self.refusal.as_deref()
    }

    /// Records work into one pass, submits it and waits until it is done.
    pub fn time(&self, record: impl FnOnce(&mut wgpu::ComputePass<'_>)) -> Result<Reading> {
        let gpu = &self.device.gpu;
        let mut encoder = gpu
            .device()
            .create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
        let timestamp_writes =
            self.queries
                .as_ref()
                .map(|queries| wgpu::ComputePassTimestampWrites {
                    query_set: &queries.set,
                    beginning_of_pass_write_index: Some(0),
                    end_of_pass_write_index: Some(1),
                });
        record(
            &mut encoder.begin_compute_pass(&wgpu::ComputePassDescriptor {
                label: Some("wgpu-batchnorm"),
                timestamp_writes,
            }),
        );
        if let Some(queries) = &self.queries {
            encoder.resolve_query_set(&queries.set, 0..2, &queries.resolved, 0);
            encoder.copy_buffer_to_buffer(&queries.resolved, 0, &queries.staging, 0, QUERY_BYTES);
            // Where mapping fails, so does reading.
            encoder.map_buffer_on_submit(&queries.staging, wgpu::MapMode::Read, .., |_| {});
        }
        let commands = encoder.finish();
        let start = Instant::now();
        gpu.queue().submit([commands]);
        gpu.wait()?;
        let wall = start.elapsed().as_secs_f64();
        let device = self.queries.as_ref().map(Queries::read).transpose()?;
        Ok(Reading::new(wall, device))
    }

    /// Times copies of a few mebibytes: some milliseconds' worth of them, and several times as many.
    fn probe(&self) -> Result<Vec<(u32, Reading)>> {
        const VALUES: u64 = 1 << 20;
        let x = self.device.gpu.zeros(VALUES, "probe")?;
        let y = self.device.gpu.zeros(VALUES, "probe")?;
        let copy = self.any_copy(&x, &y)?;
        let run = |times| self.time(|pass| (0..times).for_each(|_| copy.record(pass)));
        run(1)?;
        let mut times = 1;
        while run(times)?.wall < 4e-3 && times < 1024 {
            times *= 2;
        }
        [times, 3 * times]
            .repeat(3)
            .into_iter()
            .map(|times| Ok((times, run(times)?)))
            .collect()
    }

    fn any_copy(&self, x: &wgpu::Buffer, y: &wgpu::Buffer) -> Result<CopyStep> {
        let limits = self.device.kernels.limits();
        let geometry = CopyGeometry::candidates(limits, x.size() / 4)
            .pop()
            .ok_or_else(|| anyhow!("there is no geometry to copy in"))?;
        let kernel = CopyKernel::new(self.device.gpu.device(), limits, geometry);
        Ok(kernel.bind(Tensor::whole(x), Tensor::whole(y))?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reading(wall: f64, device: f64) -> Reading {
        Reading::new(wall, Some(device))
    }

    #[test]
    fn impossible_timestamps_are_no_reading() {
        for device in [0.0, -1e-3, 0.02, 1e9, f64::NAN, f64::INFINITY, 1e-9] {
            assert_eq!(reading(10e-3, device).device, None, "{device}");
        }
        assert_eq!(reading(10e-3, 9.9e-3).device, Some(9.9e-3));
        assert_eq!(reading(10e-3, 2e-3).device, Some(2e-3));
    }

    #[test]
    fn timestamps_are_believed_where_they_agree_with_the_wall_clock() {
        let honest = [1, 3, 1, 3, 1, 3].map(|times| {
            let wall = 5e-3 * f64::from(times);
            (times, reading(wall, 0.95 * wall))
        });
        assert_eq!(disbelief(&honest), None);
        // The host was busy once.
        let mut disturbed = honest;
        disturbed[2].1 = reading(90e-3, 4.8e-3);
        disturbed[5].1 = reading(90e-3, 0.0);
        assert_eq!(disbelief(&disturbed), None);

        let wrong = |change: fn(u32) -> f64| {
            let readings = [1, 3, 1, 3, 1, 3]
                .map(|times| (times, reading(5e-3 * f64::from(times), change(times))));
            disbelief(&readings).expect("not to be believed")
        };
        assert!(wrong(|_| 0.0).contains("cannot be right"));
        assert!(wrong(|_| -1.0).contains("cannot be right"));
        assert!(wrong(|times| 1e3 * f64::from(times)).contains("cannot be right"));
        // A clock whose unit is not what it says, and one that stands still most of the time.
        assert!(wrong(|times| 1e-3 * f64::from(times)).contains("1.00 ms of work that took 5.0"));
        assert!(wrong(|_| 5e-3).contains("5.00 ms of work that took 15.0 ms"));
    }

    #[test]
    fn without_timestamp_queries_the_wall_clock_serves() {
        use wgpu_batchnorm::{Gpu, GpuOptions, Kernels};
        let options = GpuOptions::from_env().optional_features(wgpu::Features::empty());
        let gpu = Gpu::blocking(&options).expect("these tests need an adapter");
        let kernels = Kernels::new(gpu.device());
        let device = Device {
            gpu,
            kernels,
            tunings: None,
        };
        let stopwatch = Stopwatch::new(&device).expect("a live device");
        assert_eq!(stopwatch.clock(), Clock::Wall);
        assert!(
            stopwatch
                .refusal()
                .is_some_and(|why| why.contains("no timestamp queries"))
        );
        let reading = stopwatch.time(|_| ()).expect("a live device");
        assert!(reading.wall > 0.0 && reading.device.is_none());
    }
}
