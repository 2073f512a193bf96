//! `check`: whether the device is right.

mod builtin;
mod case_file;
mod files;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use wgpu_batchnorm::DeviceLimits;

use super::Verdict;
use super::compare::Tolerance;
use super::device::Device;
use super::output::{adapter_lines, print};

/// What to check.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Case files (.safetensors): an input, what it should give, and the options in the metadata. Without any, the
    /// built-in cases are checked against the f64 reference
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// The error allowed per unit of an expected value
    #[arg(long, value_name = "NUMBER", default_value = "1e-5", value_parser = tolerance, requires = "files")]
    rtol: f64,
    /// The error allowed on top
    #[arg(long, value_name = "NUMBER", default_value = "1e-6", value_parser = tolerance, requires = "files")]
    atol: f64,
    /// Check the built-in cases with ten million values per channel, and larger shapes; takes about a minute and 1 GB
    #[arg(long, conflicts_with = "files")]
    full: bool,
}

fn tolerance(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if f64::is_finite(number) && number >= 0.0 => Ok(number),
        _ => Err("a finite number of at least 0 is needed".to_owned()),
    }
}

/// Checks the files, or the built-in cases where there are none.
pub fn run(arguments: &Arguments) -> Result<Verdict> {
    // What every device has: what is right on these limits is right for whoever asks for no more.
    let device = Device::open(DeviceLimits::Default)?;
    print(&adapter_lines(&device.info()))?;
    if arguments.files.is_empty() {
        return builtin::run(&device, arguments.full);
    }
    let Arguments {
        atol: absolute,
        rtol: relative,
        ..
    } = *arguments;
    files::run(
        &device,
        &arguments.files,
        Tolerance::Sum { absolute, relative },
    )
}
