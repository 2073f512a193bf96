//! How long things take: several contenders measured in turn, so that what disturbs one disturbs all.

use std::time::{Duration, Instant};

use anyhow::Result;

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
    /// For a row among many.
    pub const ROW: Self = Self {
        measurement: Duration::from_millis(8),
        budget: Duration::from_millis(800),
        least: 3,
        most: 9,
    };
    /// For the only row.
    pub const THOROUGH: Self = Self {
        measurement: Duration::from_millis(10),
        budget: Duration::from_secs(4),
        least: 9,
        most: 25,
    };
    /// To tell which of many is fastest.
    pub const SELECTION: Self = Self {
        measurement: Duration::from_millis(3),
        budget: Duration::from_millis(400),
        least: 3,
        most: 5,
    };
}

/// The most repetitions within one measurement.
const MOST_REPETITIONS: u32 = 2048;

/// Work that is repeated as often as it is told, and waited for.
pub type Contender<'a> = Box<dyn FnMut(u32) -> Result<()> + 'a>;

/// The median seconds of one repetition of each contender, and the number of rounds they are medians of.
pub fn measure(contenders: &mut [Contender<'_>], effort: Effort) -> Result<(Vec<f64>, usize)> {
    let mut repetitions = Vec::with_capacity(contenders.len());
    let mut round = Duration::ZERO;
    for contender in contenders.iter_mut() {
        let (times, elapsed) = calibrate(contender, effort.measurement)?;
        repetitions.push(times);
        round += elapsed;
    }
    let affordable = effort.budget.as_secs_f64() / round.as_secs_f64().max(1e-9);
    let rounds = (affordable as usize).clamp(effort.least, effort.most);
    let mut seconds = vec![Vec::with_capacity(rounds); contenders.len()];
    for _ in 0..rounds {
        for ((contender, &times), seconds) in
            contenders.iter_mut().zip(&repetitions).zip(&mut seconds)
        {
            seconds.push(time(contender, times)?.as_secs_f64() / f64::from(times));
        }
    }
    Ok((seconds.into_iter().map(median).collect(), rounds))
}

fn time(contender: &mut Contender<'_>, times: u32) -> Result<Duration> {
    let start = Instant::now();
    contender(times)?;
    Ok(start.elapsed())
}

/// How often to repeat within one measurement, and how long that lasts.
fn calibrate(contender: &mut Contender<'_>, goal: Duration) -> Result<(u32, Duration)> {
    // The first time compiles, allocates and fills caches.
    contender(1)?;
    let mut times = 1;
    loop {
        let elapsed = time(contender, times)?;
        if elapsed >= goal || times >= MOST_REPETITIONS {
            return Ok((times, elapsed));
        }
        // Part of a short time is its start: approach the goal by steps of at most 16.
        let growth = goal.as_secs_f64() / elapsed.as_secs_f64().max(1e-9);
        let next = f64::from(times) * (1.1 * growth).clamp(1.25, 16.0);
        times = (next.ceil() as u32).min(MOST_REPETITIONS);
    }
}

/// The middle value, or the mean of the two middle ones.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    let middle = values.len() / 2;
    if values.len() % 2 == 1 {
        values[middle]
    } else {
        values[middle - 1].midpoint(values[middle])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), 2.5);
        assert_eq!(median(vec![7.0]), 7.0);
    }

    #[test]
    fn short_work_is_repeated_until_it_can_be_timed() {
        let mut calls = 0;
        let sleep = |times: u32| {
            calls += 1;
            std::thread::sleep(Duration::from_micros(200) * times);
            Ok(())
        };
        let effort = Effort {
            budget: Duration::from_millis(30),
            ..Effort::SELECTION
        };
        let (seconds, rounds) =
            measure(&mut [Box::new(sleep)], effort).expect("sleep does not fail");
        assert!((3..=5).contains(&rounds));
        assert!((200e-6..2e-3).contains(&seconds[0]), "{seconds:?}");
        assert!(calls > rounds);
    }

    #[test]
    fn failures_are_passed_on() {
        let fails = |_| anyhow::bail!("lost");
        assert!(measure(&mut [Box::new(fails)], Effort::SELECTION).is_err());
    }
}
