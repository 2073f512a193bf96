//! How long things take: several contenders measured in turn, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

use anyhow::Result;
use wgpu_batchnorm::wgpu;

use super::clock::{Clock, Reading, Stopwatch};
use super::spread::Spread;

/// How much time to spend.
#[derive(Clone, Copy, Debug)]
pub struct Effort {
    /// What one measurement should last at least, so that its start and end do not count: the work is repeated within.
    pub measurement: Duration,
    /// What all rounds together should not exceed, as far as the fewest rounds allow.
    pub budget: Duration,
    /// The fewest rounds.
    pub least: usize,
    /// The most rounds.
    pub most: usize,
}

impl Effort {
    const fn new(measurement_ms: u64, budget_ms: u64, least: usize, most: usize) -> Self {
        Self {
            measurement: Duration::from_millis(measurement_ms),
            budget: Duration::from_millis(budget_ms),
            least,
            most,
        }
    }
}

/// How thorough a run is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// A few rows in seconds: to see that it works, and roughly how fast.
    Quick,
    /// All rows in about a minute.
    Usual,
    /// Many rounds of all rows.
    Full,
}

impl Thoroughness {
    /// For one row.
    pub const fn row(self) -> Effort {
        match self {
            Self::Quick => Effort::new(2, 100, 3, 5),
            Self::Usual => Effort::new(6, 700, 5, 11),
            Self::Full => Effort::new(10, 4000, 9, 25),
        }
    }

    /// To tell which of many is fastest.
    pub const fn selection(self) -> Effort {
        match self {
            Self::Quick => Effort::new(1, 30, 2, 3),
            Self::Usual => Effort::new(3, 300, 3, 5),
            Self::Full => Effort::new(5, 800, 5, 9),
        }
    }

    /// For one operation at one size of the size sweep.
    pub const fn sweep(self) -> Effort {
        match self {
            Self::Quick => Effort::new(1, 40, 3, 3),
            Self::Usual => Effort::new(3, 200, 3, 9),
            Self::Full => Effort::new(6, 1500, 7, 15),
        }
    }
}

/// The most repetitions within one measurement.
const MOST_REPETITIONS: u32 = 2048;

/// Something to take the time of.
pub enum Contender<'a> {
    /// Work of the host, done as often as it is told.
    Host(Box<dyn FnMut(u32) -> Result<()> + 'a>),
    /// Work of the device, recorded into a pass.
    Device(Box<dyn Fn(&mut wgpu::ComputePass<'_>) + 'a>),
}

impl<'a> Contender<'a> {
    /// Work of the host.
    pub fn host(work: impl FnMut(u32) -> Result<()> + 'a) -> Self {
        Self::Host(Box::new(work))
    }

    /// Work of the device.
    pub fn device(record: impl Fn(&mut wgpu::ComputePass<'_>) + 'a) -> Self {
        Self::Device(Box::new(record))
    }

    /// Does the work so many times.
    fn time(&mut self, stopwatch: &Stopwatch<'_>, times: u32) -> Result<Reading> {
        match self {
            Self::Host(work) => {
                let start = Instant::now();
                work(times)?;
                Ok(Reading {
                    wall: start.elapsed().as_secs_f64(),
                    device: None,
                })
            }
            Self::Device(record) => stopwatch.time(|pass| (0..times).for_each(|_| record(pass))),
        }
    }

    /// How often to repeat within one measurement, and how long that lasts.
    fn calibrate(&mut self, stopwatch: &Stopwatch<'_>, goal: Duration) -> Result<(u32, f64)> {
        // The first time compiles, allocates and fills caches.
        self.time(stopwatch, 1)?;
        let goal = goal.as_secs_f64();
        let mut times = 1;
        loop {
            let mut elapsed = self.time(stopwatch, times)?.wall;
            // What a busy host delays looks long once, and not again.
            if elapsed >= goal && elapsed < 16.0 * goal {
                elapsed = elapsed.min(self.time(stopwatch, times)?.wall);
            }
            if elapsed >= goal || times >= MOST_REPETITIONS {
                return Ok((times, elapsed));
            }
            // Part of a short time is its start: approach the goal by steps of at most 16.
            let growth = goal / elapsed.max(1e-9);
            let next = f64::from(times) * (1.1 * growth).clamp(1.25, 16.0);
            times = (next.ceil() as u32).min(MOST_REPETITIONS);
        }
    }
}

/// What was measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// Seconds of one repetition of each contender.
    pub seconds: Vec<Spread>,
    /// The clock of all work of the device.
    pub clock: Clock,
    /// Rounds that were measured.
    pub rounds: usize,
}

/// Measures the contenders in turn, from the last to the first, then from the first to the last, and so on: none always
/// follows the same other one.
pub fn measure(
    stopwatch: &Stopwatch<'_>,
    contenders: &mut [Contender<'_>],
    effort: Effort,
) -> Result<Measured> {
    let mut repetitions = Vec::with_capacity(contenders.len());
    let mut round = 0.0;
    for contender in contenders.iter_mut() {
        let (times, elapsed) = contender.calibrate(stopwatch, effort.measurement)?;
        repetitions.push(times);
        round += elapsed;
    }
    let affordable = effort.budget.as_secs_f64() / f64::max(round, 1e-9);
    let rounds = (affordable as usize).clamp(effort.least, effort.most);
    let mut readings = vec![Vec::with_capacity(rounds); contenders.len()];
    // Back and forth: what follows work of the host finds other caches, and the driver's threads where that has left them.
    let mut order: Vec<usize> = (0..contenders.len()).collect();
    for _ in 0..rounds {
        order.reverse();
        for &index in &order {
            let times = repetitions[index];
            let Reading { wall, device } = contenders[index].time(stopwatch, times)?;
            let times = f64::from(times);
            readings[index].push(Reading {
                wall: wall / times,
                device: device.map(|device| device / times),
            });
        }
    }
    let on_device: Vec<bool> = contenders
        .iter()
        .map(|contender| matches!(contender, Contender::Device(_)))
        .collect();
    let (seconds, clock) = evaluate(&readings, &on_device, stopwatch.clock());
    Ok(Measured {
        seconds,
        clock,
        rounds,
    })
}

/// The seconds of each contender. All work of the device is timed by one clock: where too many timestamps of one
/// contender were impossible, all go by the wall clock. A few are left out.
fn evaluate(readings: &[Vec<Reading>], on_device: &[bool], clock: Clock) -> (Vec<Spread>, Clock) {
    let possible = |readings: &[Reading]| -> Vec<f64> {
        readings
            .iter()
            .filter_map(|reading| reading.device)
            .collect()
    };
    let suffices = |readings: &[Reading]| 3 * possible(readings).len() >= 2 * readings.len();
    let clock = if clock == Clock::Timestamps
        && readings
            .iter()
            .zip(on_device)
            .all(|(readings, &on_device)| !on_device || suffices(readings))
    {
        Clock::Timestamps
    } else {
        Clock::Wall
    };
    let seconds = readings
        .iter()
        .zip(on_device)
        .map(|(readings, &on_device)| {
            let values = if on_device && clock == Clock::Timestamps {
                possible(readings)
            } else {
                readings.iter().map(|reading| reading.wall).collect()
            };
            Spread::of(values).expect("every effort has a round")
        });
    (seconds.collect(), clock)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::adapter::AdapterChoice;
    use crate::cli::device::Device;
    use wgpu_batchnorm::DeviceLimits;

    fn device() -> Device {
        Device::open(&AdapterChoice::default(), DeviceLimits::Default)
            .expect("these tests need an adapter")
    }

    #[test]
    fn short_work_is_repeated_until_it_can_be_timed() {
        let device = device();
        let stopwatch = Stopwatch::new(&device).expect("a live device");
        let mut calls = 0;
        let sleep = Contender::host(|times| {
            calls += 1;
            std::thread::sleep(Duration::from_micros(200) * times);
            Ok(())
        });
        let effort = Effort::new(3, 30, 3, 5);
        let measured = measure(&stopwatch, &mut [sleep], effort).expect("sleep does not fail");
        assert!((3..=5).contains(&measured.rounds));
        assert!(measured.seconds[0].median >= 200e-6, "{measured:?}");
        assert!(calls > measured.rounds);
    }

    #[test]
    fn nothing_always_follows_the_same() {
        let device = device();
        let stopwatch = Stopwatch::new(&device).expect("a live device");
        let done = std::cell::RefCell::new(Vec::new());
        let mut contenders: Vec<_> = (0..3)
            .map(|index| {
                let done = &done;
                Contender::host(move |_| {
                    done.borrow_mut().push(index);
                    std::thread::sleep(Duration::from_millis(1));
                    Ok(())
                })
            })
            .collect();
        let effort = Effort::new(1, 0, 4, 4);
        measure(&stopwatch, &mut contenders, effort).expect("sleep does not fail");
        let done = done.borrow();
        let rounds = &done[done.len() - 12..];
        assert_eq!(rounds, [2, 1, 0, 0, 1, 2, 2, 1, 0, 0, 1, 2]);
    }

    #[test]
    fn failures_are_passed_on() {
        let device = device();
        let stopwatch = Stopwatch::new(&device).expect("a live device");
        let fails = Contender::host(|_| anyhow::bail!("lost"));
        assert!(measure(&stopwatch, &mut [fails], Thoroughness::Quick.row()).is_err());
    }

    #[test]
    fn work_of_the_device_is_timed_by_one_clock() {
        let reading = |wall, device| Reading { wall, device };
        let host = vec![reading(5.0, None); 3];
        let good = vec![reading(2.0, Some(1.0)); 3];
        let one_lost = vec![
            reading(2.0, Some(1.0)),
            reading(9.0, None),
            reading(2.0, Some(1.0)),
        ];
        let two_lost = vec![
            reading(4.0, None),
            reading(4.0, None),
            reading(4.0, Some(1.0)),
        ];
        let medians = |readings: &[Vec<Reading>], on_device: &[bool], clock| {
            let (spreads, clock) = evaluate(readings, on_device, clock);
            let medians: Vec<f64> = spreads.iter().map(|spread| spread.median).collect();
            (medians, clock)
        };
        let on_device = [true, true, false];
        assert_eq!(
            medians(
                &[good.clone(), one_lost, host.clone()],
                &on_device,
                Clock::Timestamps
            ),
            (vec![1.0, 1.0, 5.0], Clock::Timestamps)
        );
        assert_eq!(
            medians(
                &[good.clone(), two_lost, host.clone()],
                &on_device,
                Clock::Timestamps
            ),
            (vec![2.0, 4.0, 5.0], Clock::Wall)
        );
        assert_eq!(
            medians(&[good.clone(), good, host], &on_device, Clock::Wall),
            (vec![2.0, 2.0, 5.0], Clock::Wall)
        );
    }
}
