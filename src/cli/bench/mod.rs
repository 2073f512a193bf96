//! `bench`: CPU against GPU, with the copy kernel as the yardstick.

mod baseline;
mod chart;
mod clock;
mod copy;
mod environment;
mod explain;
mod memory;
mod page;
mod record;
mod report;
mod row;
mod spread;
mod sweep;
mod text;
mod timing;
mod workload;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use wgpu_batchnorm::DeviceLimits;

use super::Verdict;
use super::adapter::AdapterChoice;
use super::device::Device;
use super::output::{self, WholeFile};
use super::size::{Layout, Sizes};
use baseline::Baseline;
use clock::Stopwatch;
use copy::Copies;
use environment::Environment;
use report::Report;
use timing::Thoroughness;
use workload::{BATCH, Operations, Workload};

/// What to measure.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Measure this shape alone: sizes in memory order, as in 32x64x56x56
    #[arg(long, value_name = "SIZES", group = "one_shape")]
    pub shape: Option<Sizes>,
    /// Where the shape's channels are; channels-first where there are three sizes or more
    #[arg(long, requires = "one_shape")]
    layout: Option<Layout>,
    /// What to compute
    #[arg(long, default_value = "all")]
    operation: Operations,
    /// The batch of the built-in layers
    #[arg(long, value_name = "N", default_value_t = BATCH, conflicts_with = "one_shape",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
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
    let device = Device::open(adapter, DeviceLimits::Adapter)?;
    for workload in &workloads {
        workload.check_size(&device)?;
    }
    let stopwatch = Stopwatch::new(&device)?;
    if arguments.explain.is_some() {
        return explain(arguments, &device, &stopwatch, &workloads);
    }

    let environment = Environment::new(&device.info(), &stopwatch);
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
) -> Result<Verdict> {
    let operations = arguments.operation.list();
    let effort = arguments.thoroughness().row();
    for workload in workloads {
        let text = explain::run(
            device,
            stopwatch,
            workload,
            operations,
            effort,
            arguments.wgsl,
        )?;
        output::print(&text)?;
    }
    Ok(Verdict::Right)
}

fn measure(
    arguments: &Arguments,
    device: &Device,
    stopwatch: &Stopwatch<'_>,
    workloads: &[Workload],
    environment: Environment,
) -> Result<Report> {
    let thoroughness = arguments.thoroughness();
    let operations = arguments.operation.list();
    let sweep_sizes = arguments.sweep().map_or(0, |thoroughness| {
        let limit = device.gpu.device().limits().max_buffer_size;
        sweep::batches(limit, sweep::factor(thoroughness)).len()
    });
    let progress = output::progress(workloads.len() * operations.len() + sweep_sizes);
    let mut copies = Copies::new(device, stopwatch, thoroughness.selection());
    let mut rows = Vec::new();
    for workload in workloads {
        let mut problem = workload.problem()?;
        for &operation in operations {
            progress.set_message(format!("{} {operation}", workload.sizes));
            problem.statistics = workload::statistics(operation, problem.shape, &problem.x)?;
            let row = row::run(
                device,
                stopwatch,
                &mut copies,
                workload,
                &problem,
                operation,
                thoroughness.row(),
            )
            .with_context(|| format!("{} {operation}", workload.sizes))?;
            rows.push(row);
            progress.inc(1);
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
                operations,
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
