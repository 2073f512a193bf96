//! `bench`: CPU against GPU, with the copy kernel as the yardstick.

mod apart;
mod baseline;
mod chart;
pub(super) mod clock;
pub(super) mod computation;
pub(super) mod copy;
mod environment;
pub(super) mod expected;
mod explain;
pub(super) mod loaded;
mod memory;
mod page;
mod record;
pub(super) mod report;
mod row;
pub(super) mod spread;
mod sweep;
pub(super) mod task;
mod text;
pub(super) mod timing;
pub(super) mod workload;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use wgpu_batchnorm::{Activation, DeviceLimits};

use super::Verdict;
use super::adapter::AdapterChoice;
use super::device::Device;
use super::output::{self, WholeFile};
use super::size::{Layout, Sizes};
use super::tunings::{TuningSource, Used};
use baseline::Baseline;
use clock::Stopwatch;
use computation::{Computation, Elements, Layer, Operation, Operations, activation_parser};
use copy::Copies;
use environment::Environment;
use report::Report;
use task::{Input, Task};
use timing::Thoroughness;
use workload::{BATCH, Workload};

/// What to measure.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Measure this shape alone: sizes in memory order, as in 32x64x56x56
    #[arg(long, value_name = "SIZES", group = "one_shape")]
    pub shape: Option<Sizes>,
    /// Where the shape's channels are; channels-first where there are three sizes or more
    #[arg(long, requires = "one_shape")]
    layout: Option<Layout>,
    /// What to compute; of the built-in layers by default inference and training, and backward for some, of a shape all
    #[arg(long)]
    operation: Option<Operations>,
    /// What tensors of the shape are stored as
    #[arg(long, default_value = "f32")]
    element: Elements,
    /// The activation that the layers apply
    #[arg(long, value_name = "NAME", default_value = "none", value_parser = activation_parser())]
    activation: Activation,
    /// Add a residual before the activation: it counts as traffic, so that what it costs beyond that shows in `of copy`
    #[arg(long)]
    residual: bool,
    /// The batch of the built-in layers
    #[arg(long, value_name = "N", default_value_t = BATCH, conflicts_with = "one_shape",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Plan by what `tune` has found: in this file, `saved` for the adapter where there is such, or `none` for the defaults
    #[arg(long, value_name = "FILE", default_value = "saved", value_parser = TuningSource::parser())]
    tuning: TuningSource,
    /// Measure a few shapes, in seconds
    #[arg(long, conflicts_with = "full")]
    quick: bool,
    /// Measure each shape for many rounds, and times against tensor size; takes minutes
    #[arg(long)]
    full: bool,
    /// Write the numbers to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Write the rows to this file as comma-separated values
    #[arg(long, value_name = "FILE")]
    csv: Option<PathBuf>,
    /// Write a page with tables and plots to this file, times against tensor size among them
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// Compare with an older run: a file that --json wrote
    #[arg(long, value_name = "OLD.json")]
    compare: Option<PathBuf>,
    /// Instead of a run, print how this shape is computed: each dispatch, what it moves, and its part of the time
    #[arg(long, value_name = "SIZES", group = "one_shape",
        conflicts_with_all = ["json", "csv", "html", "compare", "full"])]
    explain: Option<Sizes>,
    /// Print the shaders of the dispatches as well
    #[arg(long, requires = "explain")]
    wgsl: bool,
}

impl Arguments {
    fn thoroughness(&self) -> Thoroughness {
        if self.quick {
            Thoroughness::Quick
        } else if self.full || self.one_shape().is_some() {
            // One shape gets all the rounds that it needs.
            Thoroughness::Full
        } else {
            Thoroughness::Usual
        }
    }

    fn one_shape(&self) -> Option<&Sizes> {
        self.shape.as_ref().or(self.explain.as_ref())
    }

    fn workloads(&self) -> Result<Vec<Workload>> {
        match self.one_shape() {
            Some(sizes) => Ok(vec![Workload::custom(sizes.clone(), self.layout)?]),
            None => Workload::built_in(self.batch, self.quick),
        }
    }

    fn layers(&self) -> impl Iterator<Item = Layer> + '_ {
        self.element.list().iter().map(|&element| Layer {
            element,
            activation: self.activation,
            residual: self.residual,
        })
    }

    fn operations(&self, usual: &'static [Operation]) -> &'static [Operation] {
        self.operation.map_or(usual, Operations::list)
    }

    fn computations(&self, usual: &'static [Operation]) -> Vec<Computation> {
        let operations = self.operations(usual);
        let of = |layer| {
            let computation = move |&operation| Computation { operation, layer };
            operations.iter().map(computation)
        };
        self.layers().flat_map(of).collect()
    }

    /// What a size sweep measures.
    fn swept(&self) -> Vec<Computation> {
        self.computations(&[Operation::Inference, Operation::Training])
    }

    /// How thorough the size sweep is, where one is asked for.
    fn sweep(&self) -> Option<Thoroughness> {
        let thoroughness = match (self.quick, self.full) {
            (true, _) => Thoroughness::Quick,
            (_, true) => Thoroughness::Full,
            _ => Thoroughness::Usual,
        };
        (self.full || self.html.is_some()).then_some(thoroughness)
    }
}

/// The files that a run is asked for, each found to be writable before anything is measured.
struct Files {
    json: Option<WholeFile>,
    csv: Option<WholeFile>,
    html: Option<WholeFile>,
}

impl Files {
    fn new(arguments: &Arguments) -> Result<Self> {
        let file = |path: &Option<PathBuf>| path.as_deref().map(WholeFile::new).transpose();
        Ok(Self {
            json: file(&arguments.json)?,
            csv: file(&arguments.csv)?,
            html: file(&arguments.html)?,
        })
    }

    fn write(self, report: &Report) -> Result<()> {
        if let Some(json) = self.json {
            json.write(&report.json()?)?;
        }
        if let Some(csv) = self.csv {
            csv.write(&report.csv()?)?;
        }
        if let Some(html) = self.html {
            html.write(report.html().as_bytes())?;
        }
        Ok(())
    }
}

/// Measures, checks and reports every row; or explains one shape.
pub fn run(arguments: &Arguments, adapter: &AdapterChoice) -> Result<Verdict> {
    let start = Instant::now();
    let files = Files::new(arguments)?;
    let baseline = arguments
        .compare
        .as_deref()
        .map(|path: &Path| Baseline::read(path))
        .transpose()?;
    let workloads = arguments.workloads()?;
    // All that the adapter has: the question is what it can do.
    let mut device = Device::open(adapter, DeviceLimits::Adapter)?;
    let tuning = arguments.tuning.use_on(&mut device)?;
    let device = device;
    for workload in &workloads {
        for computation in arguments.computations(workload.usual_operations()) {
            workload.check_size(&device, &computation)?;
        }
    }
    let stopwatch = Stopwatch::new(&device)?;
    if arguments.explain.is_some() {
        explain(arguments, &device, &stopwatch, &workloads)?;
        output::print(&format!("\n{}", Used::describe(tuning.as_ref())))?;
        return Ok(Verdict::Right);
    }

    let environment = Environment::new(&device.info(), &stopwatch, tuning);
    let report = measure(arguments, &device, &stopwatch, &workloads, environment)?;
    output::print(&report.text(start.elapsed()))?;
    if let Some(baseline) = baseline {
        output::print(&format!("\n{}", baseline.compare(&report)))?;
    }
    files.write(&report)?;
    for line in report.wrong() {
        eprintln!("{line}");
    }
    Ok(report.verdict())
}

fn explain(
    arguments: &Arguments,
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    workloads: &[Workload],
) -> Result<()> {
    let effort = arguments.thoroughness().row();
    for workload in workloads {
        let text = explain::run(
            device,
            stopwatch,
            workload,
            &arguments.computations(workload.usual_operations()),
            effort,
            arguments.wgsl,
        )?;
        output::print(&text)?;
    }
    Ok(())
}

fn measure(
    arguments: &Arguments,
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    workloads: &[Workload],
    environment: Environment,
) -> Result<Report> {
    let thoroughness = arguments.thoroughness();
    let sweep_sizes = arguments.sweep().map_or(0, |thoroughness| {
        let limit = device.gpu.device().limits().max_buffer_size;
        sweep::batches(limit, sweep::factor(thoroughness)).len()
    });
    let of = |workload: &Workload| arguments.computations(workload.usual_operations()).len();
    let progress = output::progress(workloads.iter().map(of).sum::<usize>() + sweep_sizes);
    let mut copies = Copies::new(device, stopwatch, thoroughness.selection());
    let mut rows = Vec::new();
    for workload in workloads {
        let operations = arguments.operations(workload.usual_operations());
        for layer in arguments.layers() {
            let input = Input::new(workload, layer)?;
            for &operation in operations {
                let computation = Computation { operation, layer };
                progress.set_message(format!("{} {computation}", workload.sizes));
                let mut measured = || {
                    let task = Task::new(&input, operation)?;
                    let effort = thoroughness.row();
                    row::run(device, stopwatch, &mut copies, workload, &task, effort)
                };
                let row = measured().with_context(|| format!("{} {computation}", workload.sizes));
                rows.push(row?);
                progress.inc(1);
            }
        }
    }
    let sweep = match arguments.sweep() {
        Some(thoroughness) => {
            let rows = rows.len() as u64;
            let mut done = 0;
            let sweep = sweep::run(
                device,
                stopwatch,
                &mut copies,
                &arguments.swept(),
                thoroughness,
                |bytes| {
                    progress.set_message(format!("tensors of {}", memory::text(bytes)));
                    progress.set_position(rows + done);
                    done += 1;
                },
            )?;
            Some(sweep)
        }
        None => None,
    };
    progress.finish_and_clear();
    Ok(Report {
        environment,
        copies: copies.into_reported(),
        rows,
        sweep,
    })
}
