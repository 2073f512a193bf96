//! A pass on the device, as the search tries it.

use std::time::{Duration, Instant};

use anyhow::Result;
use wgpu_batchnorm::yardstick::CopyStep;
use wgpu_batchnorm::{Plan, Step, Tuning};

use super::search::{Confirmed, Trial};
use crate::cli::bench::clock::Stopwatch;
use crate::cli::bench::copy::Copies;
use crate::cli::bench::expected::{Expected, compare};
use crate::cli::bench::loaded::Tensors;
use crate::cli::bench::spread::Spread;
use crate::cli::bench::task::{By, Task};
use crate::cli::bench::timing::{Contender, Effort, measure};
use crate::cli::device::Device;

/// A pass over a shape, its tensors on the device, and how long it may be measured. What compiling and checking takes does not
/// count: the same kernels serve many shapes.
pub struct Pass<'a> {
    device: &'a Device,
    stopwatch: &'a Stopwatch<'a>,
    task: &'a Task<'a>,
    tensors: Tensors,
    expected: Vec<Expected>,
    copy: CopyStep,
    /// How long it may be measured, and how long it was.
    time: Duration,
    measured: Duration,
}

impl<'a> Pass<'a> {
    /// Uploads a task, which may be measured for so long.
    pub fn new(
        device: &'a Device,
        stopwatch: &'a Stopwatch<'a>,
        copies: &mut Copies<'_>,
        task: &'a Task<'a>,
        time: Duration,
    ) -> Result<Self> {
        let tensors = Tensors::new(device, task)?;
        Ok(Self {
            copy: copies.bind(&tensors)?,
            expected: task.expected()?,
            device,
            stopwatch,
            task,
            tensors,
            time,
            measured: Duration::ZERO,
        })
    }

    fn planned(&self, tuning: &Tuning) -> Result<Plan> {
        let limits = self.device.kernels.limits();
        Ok(self.task.plan(limits, By::Tuning(tuning))?)
    }

    fn bind(&self, tuning: &Tuning) -> Result<(Plan, Step)> {
        let plan = self.planned(tuning)?;
        let step = self.tensors.bind(self.device, &plan)?;
        Ok((plan, step))
    }

    /// Binds and runs once, as some drivers compile only then.
    fn warm(&self, tunings: &[&Tuning]) -> Result<Vec<(Plan, Step)>> {
        let bound = tunings.iter().map(|tuning| self.bind(tuning));
        let bound: Vec<_> = bound.collect::<Result<_>>()?;
        self.device.gpu.run("warm up", |pass| {
            for (_, step) in &bound {
                step.record(pass);
            }
        });
        self.device.gpu.wait()?;
        Ok(bound)
    }

    /// A measurement that lasts a thousandth of the time at least, and a share of it as far as the fewest rounds allow.
    fn effort(&self, share: f64, least: usize, most: usize) -> Effort {
        let measurement = self.time.div_f64(1000.0);
        let [shortest, longest] = [0.5e-3, 5e-3].map(Duration::from_secs_f64);
        Effort {
            measurement: measurement.clamp(shortest, longest),
            budget: self.time.mul_f64(share),
            least,
            most,
        }
    }
}

impl Trial for Pass<'_> {
    type Plan = Plan;

    fn plan(&self, tuning: &Tuning) -> Option<Plan> {
        self.planned(tuning).ok()
    }

    fn time(&mut self, tunings: &[&Tuning]) -> Result<Vec<Spread>> {
        let steps = self.warm(tunings)?;
        let mut contenders = Vec::with_capacity(steps.len());
        for (_, step) in &steps {
            contenders.push(Contender::device(|pass| step.record(pass)));
        }
        let effort = self.effort(0.1, 5, 9);
        let start = Instant::now();
        let measured = measure(self.stopwatch, &mut contenders, effort)?;
        drop(contenders);
        self.measured += start.elapsed();
        Ok(measured.seconds)
    }

    fn confirm(&mut self, tunings: &[&Tuning]) -> Result<Vec<Confirmed>> {
        let steps = self.warm(tunings)?;
        let mut contenders = vec![Contender::device(|pass| self.copy.record(pass))];
        for (_, step) in &steps {
            contenders.push(Contender::device(|pass| step.record(pass)));
        }
        let effort = self.effort(0.25, 9, 25);
        let measured = measure(self.stopwatch, &mut contenders, effort)?;
        let (copy, times) = measured
            .seconds
            .split_first()
            .expect("the copy is a contender");
        let copied = 2.0 * 4.0 * self.tensors.words() as f64;
        let confirmed = steps.iter().zip(times).map(|((plan, _), &time)| {
            let moved = plan.minimum_traffic() as f64;
            Confirmed {
                time,
                copy_fraction: (moved / time.median) / (copied / copy.median),
            }
        });
        Ok(confirmed.collect())
    }

    fn check(&mut self, tuning: &Tuning) -> Result<Option<String>> {
        let (_, step) = self.bind(tuning)?;
        self.tensors.reset(self.device)?;
        self.device
            .gpu
            .run("wgpu-batchnorm", |pass| step.record(pass));
        let (_, wrong) = compare(&self.expected, &self.tensors.results(self.device)?);
        Ok(wrong)
    }

    fn has_time(&self) -> bool {
        self.measured < self.time
    }
}

#[cfg(test)]
mod tests {
    use wgpu_batchnorm::{Element, Kernels, Operation};

    use super::*;
    use crate::cli::adapter::AdapterChoice;
    use crate::cli::bench::computation::Layer;
    use crate::cli::bench::task::Input;
    use crate::cli::bench::timing::Thoroughness;
    use crate::cli::bench::workload::Workload;

    fn device() -> Device {
        let adapter = AdapterChoice::default().find();
        Device::with_usual_limits(adapter.expect("these tests need an adapter")).expect("a device")
    }

    /// What is wrong with each operation by its default and another tuning, checked one after the other.
    fn checked(device: &Device, element: Element) -> Vec<Option<String>> {
        let stopwatch = Stopwatch::new(device).expect("a live device");
        let mut copies = Copies::new(device, &stopwatch, Thoroughness::Quick.selection());
        let sizes = "3x8x5x4".parse().expect("sizes");
        let workload = Workload::custom(sizes, None).expect("a shape");
        let layer = Layer {
            element,
            ..Layer::default()
        };
        let input = Input::new(&workload, layer).expect("it fits");
        let mut found = Vec::new();
        for operation in Operation::ALL {
            let task = Task::new(&input, operation).expect("a task");
            let time = Duration::from_millis(1);
            let pass = Pass::new(device, &stopwatch, &mut copies, &task, time);
            let mut pass = pass.expect("a pass");
            let usual = Tuning::for_limits(device.kernels.limits());
            let split = Tuning {
                workgroups: 64,
                values_per_workgroup: 1,
                ..usual.clone()
            };
            assert!(pass.plan(&usual) != pass.plan(&split));
            // Steps that were timed have moved the running statistics by then.
            pass.time(&[&usual, &split]).expect("measured");
            for tuning in [&usual, &split] {
                found.push(pass.check(tuning).expect("it runs"));
            }
        }
        found
    }

    #[test]
    fn results_are_right_whatever_ran_before() {
        for element in [Element::F32, Element::F16] {
            let wrong = checked(&device(), element);
            assert!(wrong.iter().all(Option::is_none), "{wrong:?}");
        }
    }

    #[test]
    fn wrong_results_are_noticed_in_every_operation() {
        let mut device = device();
        device.kernels = Kernels::edited(device.gpu.device(), |text| {
            text.replace("c.mean) * c.scale", "c.mean) * c.scale * 1.001")
                .replace("dx = c.scale *", "dx = 1.001 * c.scale *")
        });
        let wrong = checked(&device, Element::F32);
        assert!(wrong.iter().all(Option::is_some), "{wrong:?}");
    }
}
