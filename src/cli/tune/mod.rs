//! `tune`: finds the geometry of the kernels that is fastest on an adapter, and saves it.

mod pass;
mod report;
mod search;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow};
use clap::Args;
use wgpu_batchnorm::{Activation, DeviceLimits, TunedPass, Tuning, TuningKey, Tunings};

use super::Verdict;
use super::adapter::AdapterChoice;
use super::bench::clock::Stopwatch;
use super::bench::computation::{Computation, Elements, Layer, Operations};
use super::bench::copy::Copies;
use super::bench::task::{Input, Task};
use super::bench::timing::Thoroughness;
use super::bench::workload::{BATCH, Workload};
use super::device::Device;
use super::output::{self, WholeFile};
use super::size::{Layout, Sizes};
use super::tunings;
use pass::Pass;
use report::{Report, Row};
use search::{Found, Trial, Wrong, search};

/// Seconds of measuring for each row.
const SECONDS: f64 = 3.0;
/// Where it must be quick.
const QUICK_SECONDS: f64 = 0.3;

const RULE: &str = "\
Each row starts from the default and changes one field of the tuning after another, as long as that helps. Candidates are \
timed in turn with the best so far. One takes its place where its median is at least 2% below, its third quartile is below the \
other's first, and its results are within bench's tolerances of the f64 reference. The last one is measured once more against \
the default, and kept if it is faster by the same rule.

A row is saved when it is found. A search that is stopped (Ctrl-C) ends by the signal, which shells show as exit code 130. It \
keeps the rows that it has found and, of the one that it was at, the best so far; the same command goes on from there.";

/// What to tune.
#[derive(Args, Debug)]
#[command(after_long_help = RULE)]
pub struct Arguments {
    /// Tune this shape alone: sizes in memory order, as in 32x64x56x56
    #[arg(long, value_name = "SIZES")]
    shape: Option<Sizes>,
    /// Where the shape's channels are; channels-first where there are three sizes or more
    #[arg(long, requires = "shape")]
    layout: Option<Layout>,
    /// What to compute; of the built-in layers by default inference and training, and backward for some, of a shape all
    #[arg(long)]
    operation: Option<Operations>,
    /// What tensors of the shape are stored as
    #[arg(long, default_value = "f32")]
    element: Elements,
    /// The batch of the built-in layers
    #[arg(long, value_name = "N", default_value_t = BATCH, conflicts_with = "shape",
        value_parser = clap::value_parser!(u32).range(1..))]
    batch: u32,
    /// Tune a few shapes, in seconds: to see that it works
    #[arg(long)]
    quick: bool,
    /// Seconds of measuring for each row [default: 3, with --quick 0.3]
    #[arg(long, value_name = "NUMBER", value_parser = seconds)]
    seconds: Option<f64>,
    /// Search rows again that were found before
    #[arg(long)]
    again: bool,
    /// Try what this adapter's limits allow, beyond those of every device. Such tunings are errors on devices that are made
    /// with less
    #[arg(long)]
    adapter_limits: bool,
    /// Save to this file, beside what is in it [default: the one of the adapter that `info` names]
    #[arg(long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write what was found to this file as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(number) if number > 0.0 && number <= 1e6 => Ok(number),
        _ => Err("a number above 0 and up to 1e6 is needed".to_owned()),
    }
}

impl Arguments {
    fn workloads(&self) -> Result<Vec<Workload>> {
        match &self.shape {
            Some(sizes) => Ok(vec![Workload::custom(sizes.clone(), self.layout)?]),
            None => Workload::built_in(self.batch, self.quick),
        }
    }

    fn computations(&self, workload: &Workload) -> Vec<Computation> {
        let usual = workload.usual_operations();
        let operations = self.operation.map_or(usual, Operations::list);
        let layers = self.element.list().iter().map(|&element| Layer {
            element,
            activation: Activation::None,
            residual: false,
        });
        let of = |layer| {
            operations
                .iter()
                .map(move |&operation| Computation { operation, layer })
        };
        layers.flat_map(of).collect()
    }

    fn time(&self) -> Duration {
        let usual = if self.quick { QUICK_SECONDS } else { SECONDS };
        Duration::from_secs_f64(self.seconds.unwrap_or(usual))
    }
}

/// The file of tunings, which is written as often as something is found.
struct Store {
    path: PathBuf,
    tunings: Tunings,
}

impl Store {
    /// Makes sure that the file can be written, and reads what is in it.
    fn open(output: Option<&Path>, device: &Device) -> Result<Self> {
        let key = TuningKey::new(&device.info());
        let path = if let Some(path) = output {
            path.to_owned()
        } else {
            let path = key.path().ok_or_else(|| {
                anyhow!("there is no folder for configuration: --output names a file")
            })?;
            let folder = path.parent().expect("the file is in a folder of ours");
            std::fs::create_dir_all(folder)
                .with_context(|| format!("cannot make {}", folder.display()))?;
            path
        };
        WholeFile::new(&path)?;
        let tunings = if path.is_file() {
            tunings::read(&path, device).context("--output names another file")?
        } else {
            Tunings::new(key)
        };
        Ok(Self { path, tunings })
    }

    fn insert(&mut self, pass: TunedPass) -> Result<()> {
        self.tunings.insert(pass);
        WholeFile::new(&self.path)?.write(&self.tunings.to_json())
    }
}

/// Searches row by row.
pub fn run(arguments: &Arguments, adapter: &AdapterChoice) -> Result<Verdict> {
    let start = Instant::now();
    let json = arguments.json.as_deref().map(WholeFile::new).transpose()?;
    let workloads = arguments.workloads()?;
    let adapter = adapter.find()?;
    let device = if arguments.adapter_limits {
        Device::new(adapter, DeviceLimits::Adapter)?
    } else {
        Device::with_usual_limits(adapter)?
    };
    let mut store = Store::open(arguments.output.as_deref(), &device)?;
    let mut count = 0;
    for workload in &workloads {
        for computation in arguments.computations(workload) {
            workload.check_size(&device, &computation)?;
            count += 1;
        }
    }
    let stopwatch = Stopwatch::new(&device)?;
    let thoroughness = if arguments.quick {
        Thoroughness::Quick
    } else {
        Thoroughness::Usual
    };
    let mut copies = Copies::new(&device, &stopwatch, thoroughness.selection());
    let progress = output::progress(count);
    let mut rows = Vec::with_capacity(count);
    for workload in &workloads {
        for computation in arguments.computations(workload) {
            let name = format!("{} {computation}", workload.sizes);
            progress.set_message(name.clone());
            let shape = workload.sizes.shape(workload.layout)?;
            let element = computation.layer.element;
            let known = store.tunings.exact(computation.operation, shape, element);
            let known = known.filter(|_| !arguments.again).cloned();
            let row = if let Some(known) = known.clone().filter(TunedPass::is_finished) {
                Row::known(workload, computation, known)
            } else {
                let input = Input::new(workload, computation.layer)?;
                let task = Task::new(&input, computation.operation)?;
                let time = arguments.time();
                let pass = Pass::new(&device, &stopwatch, &mut copies, &task, time);
                let mut pass = pass.with_context(|| name.clone())?;
                let pass_of = |tuning: Tuning, gain, copy_fraction| TunedPass {
                    operation: computation.operation,
                    element,
                    shape,
                    tuning,
                    gain,
                    copy_fraction,
                };
                let keep = |tuning: &Tuning, gain: f64| {
                    progress.set_message(format!("{name}: {gain:.2}x so far"));
                    store.insert(pass_of(tuning.clone(), gain, None))
                };
                let searched = tune(&device, &mut pass, known.as_ref(), keep);
                let (found, wrong) = searched.with_context(|| name.clone())?;
                let tried = found.as_ref().map_or(0, |found| found.tried);
                let found =
                    found.map(|found| pass_of(found.tuning, found.gain, Some(found.copy_fraction)));
                if let Some(found) = &found {
                    store.insert(found.clone())?;
                }
                Row::new(workload, computation, found, tried, wrong)
            };
            rows.push(row);
            progress.inc(1);
        }
    }
    progress.finish_and_clear();
    let report = Report::new(&device, &stopwatch, &store.path, rows);
    output::print(&report.text(start.elapsed()))?;
    if let Some(json) = json {
        json.write(&output::json(&report)?)?;
    }
    for line in report.wrong() {
        eprintln!("{line}");
    }
    Ok(report.verdict())
}

/// The fastest tuning of a pass, and tunings whose results are wrong. Where the default's are, nothing is searched.
fn tune(
    device: &Device,
    pass: &mut Pass<'_>,
    known: Option<&TunedPass>,
    keep: impl FnMut(&Tuning, f64) -> Result<()>,
) -> Result<(Option<Found>, Vec<Wrong>)> {
    let limits = device.kernels.limits();
    let default = Tuning::for_limits(limits);
    if let Some(what) = pass.check(&default)? {
        let wrong = Wrong {
            tuning: default,
            what,
        };
        return Ok((None, vec![wrong]));
    }
    let start = known.map(|known| (&known.tuning, known.gain));
    let found = search(pass, limits, &default, start, keep)?;
    let wrong = found.wrong.clone();
    Ok((Some(found), wrong))
}
