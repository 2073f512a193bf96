//! `check`: whether the device is right.

mod builtin;
mod case_file;
mod files;
mod report;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;

use super::Verdict;
use super::adapter::AdapterChoice;
use super::device::Device;
use super::numerics::Numerics;
use super::output::{self, WholeFile, adapter_lines, print};
use super::tunings::{TuningSource, Used};
use report::Report;

/// What to check.
#[derive(Args, Debug)]
#[command(after_long_help = case_file::FORMAT)]
pub struct Arguments {
    /// Case files (.safetensors): an input, what it should give, and the options in the metadata. Without any, the
    /// built-in cases are checked against the f64 reference
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    #[command(flatten)]
    allowed: Allowed,
    /// Check the built-in cases with ten million values per channel, larger shapes and everything that can be fused; takes
    /// minutes and 1 GB
    #[arg(long, conflicts_with = "files")]
    full: bool,
    /// Plan by what `tune` has found: in this file, `saved` for the adapter, or `none` for the defaults. Each pass that was
    /// tuned is checked too
    #[arg(long, value_name = "FILE", default_value = "none", value_parser = TuningSource::parser())]
    tuning: TuningSource,
    /// Write what was found to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

/// The error that is allowed, where it is not the usual one of each tensor.
#[derive(Args, Clone, Copy, Debug)]
pub struct Allowed {
    /// The error allowed per unit of an expected value [default: 1e-5, of gradients 1e-4]
    #[arg(long, value_name = "NUMBER", value_parser = tolerance, requires = "files")]
    pub rtol: Option<f64>,
    /// The error allowed on top [default: 1e-6, of gradients 1e-5]
    #[arg(long, value_name = "NUMBER", value_parser = tolerance, requires = "files")]
    pub atol: Option<f64>,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number),
        _ => Err("a finite number of at least 0 is needed".to_owned()),
    }
}

/// Checks the files, or the built-in cases where there are none.
pub fn run(arguments: &Arguments, adapter: &AdapterChoice) -> Result<Verdict> {
    let json = arguments.json.as_deref().map(WholeFile::new).transpose()?;
    let mut device = Device::with_usual_limits(adapter.find()?)?;
    let tuning = arguments.tuning.use_on(&mut device)?;
    let info = device.info();
    print(&adapter_lines(&info))?;
    print(&Used::describe(tuning.as_ref()))?;
    let numerics = Numerics::probe(&device.gpu)?;
    print(&output::wrapped(&numerics.sentences()))?;

    let checked = if arguments.files.is_empty() {
        builtin::run(&device, arguments.full)?
    } else {
        files::run(&device, &arguments.files, arguments.allowed)?
    };
    let report = Report::new(&info, numerics, tuning, checked);
    if let Some(json) = json {
        json.write(&output::json(&report)?)?;
    }
    Ok(report.verdict())
}
