//! `bench`: CPU against GPU, with the copy kernel as the yardstick.

mod copy;
mod report;
mod row;
mod timing;
mod workload;

use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Args;
use wgpu_batchnorm::DeviceLimits;

use super::Verdict;
use super::adapter::AdapterChoice;
use super::device::Device;
use super::output::{self, WholeFile};
use super::size::{Layout, Sizes};
use copy::Copies;
use timing::Effort;
use workload::{Operations, Workload};

/// What to measure.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Measure this shape alone: sizes in memory order, as in 32x64x56x56
    #[arg(long, value_name = "SIZES")]
    pub shape: Option<Sizes>,
    /// Where the shape's channels are; channels-first where there are three sizes or more
    #[arg(long, requires = "shape")]
    layout: Option<Layout>,
    /// What to compute
    #[arg(long, default_value = "all")]
    operation: Operations,
    /// Write the numbers to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// Measures, checks and reports every row.
pub fn run(arguments: &Arguments, adapter: &AdapterChoice) -> Result<Verdict> {
    let start = Instant::now();
    let json = arguments.json.as_deref().map(WholeFile::new).transpose()?;
    let (workloads, effort) = match &arguments.shape {
        Some(sizes) => (
            vec![Workload::custom(sizes.clone(), arguments.layout)?],
            Effort::THOROUGH,
        ),
        None => (Workload::usual()?, Effort::ROW),
    };
    // All that the adapter has: the question is what it can do.
    let device = Device::open(adapter, DeviceLimits::Adapter)?;
    let mut copies = Copies::default();
    let operations = arguments.operation.list();
    let mut rows = Vec::new();
    let progress = output::progress(workloads.len() * operations.len());
    for workload in &workloads {
        let mut problem = workload.problem()?;
        for &operation in operations {
            progress.set_message(format!("{} {operation}", workload.sizes));
            problem.statistics = workload::statistics(operation, problem.shape, &problem.x)?;
            let row = row::run(&device, &mut copies, workload, &problem, operation, effort)
                .with_context(|| format!("{} {operation}", workload.sizes))?;
            rows.push(row);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();

    let report = report::Report::new(&device.info(), copies.found(), rows);
    output::print(&report.text(start.elapsed()))?;
    if let Some(json) = json {
        json.write(&report.json()?)?;
    }
    let wrong = report.wrong();
    for line in &wrong {
        eprintln!("{line}");
    }
    Ok(if wrong.is_empty() {
        Verdict::Right
    } else {
        Verdict::Wrong
    })
}
