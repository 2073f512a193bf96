//! The search for a faster tuning: field by field, as long as one helps. Knows no GPU.

use anyhow::Result;
use wgpu_batchnorm::{AdapterKind, Limits, Tuning};

use crate::cli::bench::spread::Spread;

/// How much less time a tuning must take to be believed to be faster, beside a spread that is apart from the other's.
pub const MARGIN: f64 = 0.02;

/// What a search is of: a pass over a shape on a device.
pub trait Trial {
    /// What is run. Tunings with equal plans are as fast.
    type Plan: PartialEq;

    /// The plan by a tuning; none where there is none by this one.
    fn plan(&self, tuning: &Tuning) -> Option<Self::Plan>;

    /// The times of passes by these tunings, measured in turn.
    fn time(&mut self, tunings: &[&Tuning]) -> Result<Vec<Spread>>;

    /// The same, more thoroughly.
    fn confirm(&mut self, tunings: &[&Tuning]) -> Result<Vec<Confirmed>>;

    /// Compares the results of a tuning with the reference: what is wrong, where something is.
    fn check(&mut self, tuning: &Tuning) -> Result<Option<String>>;

    /// Whether there is time to go on.
    fn has_time(&self) -> bool;
}

/// A tuning's time, and how that compares with a copy.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Confirmed {
    /// Its time.
    pub time: Spread,
    /// Its speed over that of a copy.
    pub copy_fraction: f64,
}

/// The fastest tuning of a pass.
#[derive(Clone, Debug, PartialEq)]
pub struct Found {
    /// The tuning.
    pub tuning: Tuning,
    /// The default's time over its time.
    pub gain: f64,
    /// Its speed over that of a copy.
    pub copy_fraction: f64,
    /// Tunings that were timed, the default not counted.
    pub tried: usize,
    /// Tunings that were faster and whose results were wrong.
    pub wrong: Vec<Wrong>,
}

/// A tuning that computes wrong results.
#[derive(Clone, Debug, PartialEq)]
pub struct Wrong {
    /// The tuning.
    pub tuning: Tuning,
    /// What is wrong.
    pub what: String,
}

/// Searches from the default, or from where an interrupted search was, as long as something helps and there is time. Calls
/// `keep` with each tuning that is faster and right, and what it gains so far. What is found in the end has been measured once
/// more against the default, and is the default where it does not hold.
pub fn search<T: Trial>(
    trial: &mut T,
    limits: &Limits,
    default: &Tuning,
    start: Option<(&Tuning, f64)>,
    mut keep: impl FnMut(&Tuning, f64) -> Result<()>,
) -> Result<Found> {
    let mut search = Search {
        tried: trial.plan(default).into_iter().collect(),
        trial,
        incumbent: default.clone(),
        gain: 1.0,
        wrong: Vec::new(),
        keep: &mut keep,
    };
    if let Some((tuning, gain)) = start {
        search.resume(tuning, gain)?;
    }
    search.improve(defaults_of_others(limits))?;
    loop {
        let mut improved = false;
        for field in Tuning::fields() {
            improved |= search.improve(field.variations(&search.incumbent, limits))?;
        }
        if !improved {
            break;
        }
    }
    search.finish(default)
}

/// What other kinds of adapters have by default: it differs in several fields at once.
fn defaults_of_others(limits: &Limits) -> Vec<Tuning> {
    let kinds = [
        AdapterKind::Cpu,
        AdapterKind::Integrated,
        AdapterKind::Discrete,
    ];
    let default = |adapter| {
        Tuning::for_limits(&Limits {
            adapter,
            ..limits.clone()
        })
    };
    kinds.map(default).into()
}

struct Search<'a, T: Trial> {
    trial: &'a mut T,
    incumbent: Tuning,
    /// The default's time over the incumbent's, as far as is known.
    gain: f64,
    /// What was timed: slower than an incumbent once, slower than its successors too.
    tried: Vec<T::Plan>,
    wrong: Vec<Wrong>,
    keep: &'a mut dyn FnMut(&Tuning, f64) -> Result<()>,
}

impl<T: Trial> Search<'_, T> {
    /// Goes on from a tuning that was found before, if it is right.
    fn resume(&mut self, tuning: &Tuning, gain: f64) -> Result<()> {
        if self.is_new(tuning) && self.is_right(tuning)? {
            self.incumbent = tuning.clone();
            self.gain = gain;
        }
        Ok(())
    }

    /// Whether the plan by a tuning is one that was not tried yet. From here on it is tried.
    fn is_new(&mut self, tuning: &Tuning) -> bool {
        match self.trial.plan(tuning) {
            Some(plan) if !self.tried.contains(&plan) => {
                self.tried.push(plan);
                true
            }
            _ => false,
        }
    }

    fn is_right(&mut self, tuning: &Tuning) -> Result<bool> {
        let wrong = self.trial.check(tuning)?;
        Ok(match wrong {
            None => true,
            Some(what) => {
                let tuning = tuning.clone();
                self.wrong.push(Wrong { tuning, what });
                false
            }
        })
    }

    /// Times these candidates in turn with the incumbent. The fastest that is right takes its place, if it is faster.
    fn improve(&mut self, mut candidates: Vec<Tuning>) -> Result<bool> {
        if !self.trial.has_time() {
            return Ok(false);
        }
        candidates.retain(|tuning| self.is_new(tuning));
        if candidates.is_empty() {
            return Ok(false);
        }
        let contenders: Vec<_> = std::iter::once(&self.incumbent)
            .chain(&candidates)
            .collect();
        let times = self.trial.time(&contenders)?;
        let (incumbent, times) = times.split_first().expect("the incumbent is a contender");
        let mut faster: Vec<_> = candidates
            .into_iter()
            .zip(times)
            .filter(|(_, time)| is_faster(time, incumbent))
            .collect();
        faster.sort_by(|(_, a), (_, b)| a.median.total_cmp(&b.median));
        for (tuning, time) in faster {
            if self.is_right(&tuning)? {
                self.gain *= incumbent.median / time.median;
                (self.keep)(&tuning, self.gain)?;
                self.incumbent = tuning;
                return Ok(true);
            }
        }
        Ok(false)
    }

    fn finish(self, default: &Tuning) -> Result<Found> {
        let found = |tuning: &Tuning, gain, confirmed: &Confirmed| Found {
            tuning: tuning.clone(),
            gain,
            copy_fraction: confirmed.copy_fraction,
            tried: self.tried.len().saturating_sub(1),
            wrong: self.wrong.clone(),
        };
        if self.incumbent == *default {
            let confirmed = self.trial.confirm(&[default])?;
            return Ok(found(default, 1.0, &confirmed[0]));
        }
        let confirmed = self.trial.confirm(&[default, &self.incumbent])?;
        let [usual, tuned] = [0, 1].map(|index: usize| &confirmed[index]);
        Ok(if is_faster(&tuned.time, &usual.time) {
            let gain = usual.time.median / tuned.time.median;
            found(&self.incumbent, gain, tuned)
        } else {
            found(default, 1.0, usual)
        })
    }
}

/// Whether a time is less than another by more than chance: by the margin, and with most of its measurements below most of the
/// other's.
fn is_faster(time: &Spread, other: &Spread) -> bool {
    time.median < (1.0 - MARGIN) * other.median && time.third_quartile < other.first_quartile
}

#[cfg(test)]
mod tests {
    use super::*;
    use wgpu_batchnorm::Team;

    /// A landscape without a device: times by a formula, so exact but where it is told otherwise.
    struct Landscape<F> {
        seconds: F,
        /// The relative spread of every time.
        noise: f64,
        /// Factor of what is measured to confirm, of tunings that are not the default.
        relapse: f64,
        is_wrong: fn(&Tuning) -> bool,
        /// Measurements that there is time for.
        left: usize,
        timed: Vec<Tuning>,
        checked: Vec<Tuning>,
    }

    impl<F: Fn(&Tuning) -> f64> Landscape<F> {
        fn new(seconds: F) -> Self {
            Self {
                seconds,
                noise: 0.001,
                relapse: 1.0,
                is_wrong: |_| false,
                left: usize::MAX,
                timed: Vec::new(),
                checked: Vec::new(),
            }
        }

        fn spread(&self, seconds: f64) -> Spread {
            Spread {
                first_quartile: (1.0 - self.noise) * seconds,
                median: seconds,
                third_quartile: (1.0 + self.noise) * seconds,
            }
        }

        fn search(&mut self) -> Found {
            search(self, &limits(), &default(), None, |_, _| Ok(())).expect("nothing fails")
        }
    }

    impl<F: Fn(&Tuning) -> f64> Trial for Landscape<F> {
        /// `tile_rows` makes no difference, `block` 128 has no plan.
        type Plan = Tuning;

        fn plan(&self, tuning: &Tuning) -> Option<Tuning> {
            let plan = Tuning {
                tile_rows: 1,
                ..tuning.clone()
            };
            (tuning.block != 128).then_some(plan)
        }

        fn time(&mut self, tunings: &[&Tuning]) -> Result<Vec<Spread>> {
            self.left -= 1;
            self.timed
                .extend(tunings.iter().map(|&tuning| tuning.clone()));
            let spread = |tuning: &&Tuning| self.spread((self.seconds)(tuning));
            Ok(tunings.iter().map(spread).collect())
        }

        fn confirm(&mut self, tunings: &[&Tuning]) -> Result<Vec<Confirmed>> {
            let of = |tuning: &&Tuning| {
                let factor = if **tuning == default() {
                    1.0
                } else {
                    self.relapse
                };
                let seconds = factor * (self.seconds)(tuning);
                Confirmed {
                    time: self.spread(seconds),
                    copy_fraction: 1.0 / seconds,
                }
            };
            Ok(tunings.iter().map(of).collect())
        }

        fn check(&mut self, tuning: &Tuning) -> Result<Option<String>> {
            self.checked.push(tuning.clone());
            Ok((self.is_wrong)(tuning).then(|| "y: 1 outside".to_owned()))
        }

        fn has_time(&self) -> bool {
            self.left > 0
        }
    }

    fn limits() -> Limits {
        Limits::default()
    }

    fn default() -> Tuning {
        Tuning::for_limits(&limits())
    }

    /// Doublings between two numbers.
    fn far(a: u32, b: u32) -> f64 {
        (f64::from(a) / f64::from(b)).log2().abs()
    }

    /// A valley whose bottom differs from the default in three fields, one of them many steps away.
    fn valley(tuning: &Tuning) -> f64 {
        let away =
            far(tuning.workgroup_size, 32) + far(tuning.workgroups, 8192) + far(tuning.block, 64);
        1.0 + 0.1 * away
    }

    #[test]
    fn the_bottom_of_a_valley_is_found_from_the_default() {
        let mut landscape = Landscape::new(valley);
        let found = landscape.search();
        let expected = Tuning {
            workgroup_size: 32,
            workgroups: 8192,
            block: 64,
            ..default()
        };
        assert_eq!(found.tuning, expected);
        assert!((found.gain - valley(&default())).abs() < 1e-9, "{found:?}");
        assert_eq!(found.copy_fraction, 1.0);
        assert!(found.wrong.is_empty());
        assert!(landscape.checked.contains(&found.tuning));
    }

    #[test]
    fn equal_plans_and_plans_that_lost_are_not_timed_again() {
        let mut landscape = Landscape::new(valley);
        let found = landscape.search();
        assert!(
            landscape
                .timed
                .iter()
                .all(|tuning| tuning.tile_rows == default().tile_rows || tuning.team == Team::Lane)
        );
        assert!(landscape.timed.iter().all(|tuning| tuning.block != 128));
        // Only incumbents are timed again, beside their candidates.
        let mut candidates = landscape.timed.clone();
        candidates.retain(|tuning| !landscape.checked.contains(tuning) && *tuning != default());
        let count = candidates.len();
        candidates.sort_by_key(|tuning| format!("{tuning:?}"));
        candidates.dedup();
        assert_eq!(candidates.len(), count);
        assert!(found.tried >= count);
    }

    #[test]
    fn what_differs_in_several_fields_at_once_is_found_too() {
        let cpu = defaults_of_others(&limits())[0].clone();
        let bottom = cpu.clone();
        let hole = move |tuning: &Tuning| if *tuning == bottom { 0.5 } else { 1.0 };
        assert_eq!(Landscape::new(hole).search().tuning, cpu);
    }

    #[test]
    fn chance_is_no_gain() {
        // A hundredth less is within the margin.
        let mut slope =
            Landscape::new(|tuning: &Tuning| if tuning.block == 64 { 0.99 } else { 1.0 });
        assert_eq!(slope.search().tuning, default());
        // A tenth less is nothing where times spread as much.
        let step = |tuning: &Tuning| if tuning.block == 64 { 0.9 } else { 1.0 };
        let mut noisy = Landscape::new(step);
        noisy.noise = 0.1;
        let found = noisy.search();
        assert_eq!((found.tuning, found.gain), (default(), 1.0));
        let mut quiet = Landscape::new(step);
        assert_eq!(quiet.search().tuning.block, 64);
    }

    #[test]
    fn a_gain_that_does_not_hold_is_not_kept() {
        let mut landscape = Landscape::new(valley);
        landscape.relapse = 10.0;
        let found = landscape.search();
        assert_eq!((found.tuning, found.gain), (default(), 1.0));
        assert!((found.copy_fraction - 1.0 / valley(&default())).abs() < 1e-9);
    }

    #[test]
    fn a_tuning_that_computes_wrong_results_is_not_believed() {
        let fast_if_wrong = |tuning: &Tuning| match tuning.block {
            8 => 0.1,
            32 => 0.5,
            _ => 1.0,
        };
        let mut landscape = Landscape::new(fast_if_wrong);
        landscape.is_wrong = |tuning| tuning.block == 8;
        let found = landscape.search();
        assert_eq!(found.tuning.block, 32, "the next one is taken");
        assert_eq!(found.gain, 2.0);
        assert!(!found.wrong.is_empty());
        for wrong in &found.wrong {
            assert_eq!((wrong.tuning.block, &*wrong.what), (8, "y: 1 outside"));
        }
    }

    #[test]
    fn a_search_ends_with_its_time_and_keeps_what_it_has() {
        let mut landscape = Landscape::new(valley);
        landscape.left = 2;
        let mut kept = Vec::new();
        let found = search(
            &mut landscape,
            &limits(),
            &default(),
            None,
            |tuning, gain| {
                kept.push((tuning.clone(), gain));
                Ok(())
            },
        );
        let found = found.expect("nothing fails");
        assert_eq!(landscape.left, 0);
        assert_eq!(kept.last().map(|(tuning, _)| tuning), Some(&found.tuning));
        assert!(found.gain > 1.0 && found.gain < valley(&default()));
    }

    #[test]
    fn an_interrupted_search_goes_on_from_what_it_kept() {
        // Interrupted by an error, as by a lost device, after the second improvement.
        let mut landscape = Landscape::new(valley);
        let mut kept: Vec<(Tuning, f64)> = Vec::new();
        let interrupted = search(
            &mut landscape,
            &limits(),
            &default(),
            None,
            |tuning, gain| {
                kept.push((tuning.clone(), gain));
                anyhow::ensure!(kept.len() < 2, "interrupted");
                Ok(())
            },
        );
        assert_eq!(interrupted.expect_err("stopped").to_string(), "interrupted");
        let (tuning, gain) = kept.pop().expect("two");

        let mut again = Landscape::new(valley);
        let start = Some((&tuning, gain));
        let found = search(&mut again, &limits(), &default(), start, |_, _| Ok(()));
        let found = found.expect("nothing fails");
        assert_eq!(found.tuning, Landscape::new(valley).search().tuning);
        assert_eq!(
            again.checked[0], tuning,
            "checked before it is believed again"
        );
        // Faster than the default, and not measured against it before the end.
        assert!(!again.timed.contains(&default()));

        // What it kept may be wrong by now.
        let mut wrong = Landscape::new(|_: &Tuning| 1.0);
        wrong.is_wrong = |_| true;
        let found = search(&mut wrong, &limits(), &default(), start, |_, _| Ok(()));
        let found = found.expect("nothing fails");
        assert_eq!((&found.tuning, found.gain), (&default(), 1.0));
        assert_eq!(found.wrong[0].tuning, tuning);
    }
}
