//! Instructions per value of each operation on a software adapter. `cargo bench --bench instructions [-- SHAPE...]`
//!
//! A software adapter runs kernels on the processor, and while a tensor is in its caches it is instructions that bound them. They
//! can be counted, whatever else the machine does. This program runs itself under valgrind's cachegrind, once with few and once with
//! more recordings of one operation in one pass: the difference, over recordings and values, leaves out start and compilation.
//! What recording costs the host is in it, some thousand instructions for each dispatch.
//!
//! The `floor` beside a count is the `copy_fraction` that an operation has where instructions alone take time: the bytes of its
//! least traffic for each instruction, over those of the copy. Where memory takes time as well the fraction is higher.
//! The copy is the fastest of the yardstick's, as in the command. valgrind's processor has AVX2 at most, so code for wider vectors
//! is not what is counted. The default shapes take minutes.

#[path = "common/layer.rs"]
mod layer;
#[path = "common/operation.rs"]
mod operation;
#[path = "common/table.rs"]
mod table;
#[path = "common/tensors.rs"]
mod tensors;

use std::env;
use std::io;
use std::path::Path;
use std::process::Command;

use anyhow::{Context, Result, bail};
use clap::{Parser, ValueEnum};
use rayon::prelude::*;
use wgpu_batchnorm::yardstick::CopyGeometry;
use wgpu_batchnorm::{DeviceLimits, Element, Gpu, GpuOptions, Kernels, Shape, wgpu};

use layer::Layer;
use operation::{Operation, fastest_copy};
use tensors::Tensors;

/// Recordings of the two runs whose difference counts.
const FEW: u64 = 2;
const MORE: u64 = 12;

/// Counts the instructions per value of the kernels on a software adapter.
#[derive(Parser)]
struct Options {
    /// Sizes in memory order; `:channels-last` after them where the channels are, as in 8x56x56x64:channels-last
    #[arg(
        value_name = "SHAPE",
        default_values = [
            "8x64x56x56",
            "8x256x14x14",
            "8x512x7x7",
            "8x56x56x64:channels-last",
            "8x14x14x256:channels-last",
            "1024x1024",
        ]
    )]
    layers: Vec<Layer>,
    /// How tensors are stored.
    #[arg(long, value_name = "f32|f16|bf16", default_value = "f32", value_parser = element)]
    element: Element,
    /// Record this operation of the first shape instead: what runs under valgrind.
    #[arg(long, hide = true, requires = "recordings")]
    record: Option<Operation>,
    /// How often it is recorded.
    #[arg(long, hide = true, requires = "record")]
    recordings: Option<u64>,
    /// Which of the copy's geometries.
    #[arg(long, hide = true, default_value_t = 0)]
    geometry: usize,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

/// The element of a name.
fn element(name: &str) -> Result<Element, String> {
    let mut all = Element::ALL.into_iter();
    let found = all.find(|element| element.name() == name);
    found.ok_or_else(|| "f32, f16 and bf16 are stored".to_owned())
}

/// What a run under valgrind came to.
struct Run {
    instructions: u64,
    /// Bytes of the least traffic of one recording.
    traffic: u64,
}

/// What one recording costs.
#[derive(Clone, Copy)]
struct Cost {
    instructions_per_value: f64,
    bytes_per_value: f64,
}

impl Cost {
    /// The `copy_fraction` of an operation where instructions alone take time.
    fn floor(self, copy: Self) -> f64 {
        (self.bytes_per_value / self.instructions_per_value)
            / (copy.bytes_per_value / copy.instructions_per_value)
    }
}

fn main() -> Result<()> {
    let options = Options::parse();
    let gpu = Gpu::blocking(&GpuOptions::from_env().limits(DeviceLimits::Adapter))?;
    let layers = &options.layers;
    if let (Some(operation), Some(recordings)) = (options.record, options.recordings) {
        let traffic = record(
            &gpu,
            layers[0].shape,
            options.element,
            operation,
            options.geometry,
            recordings,
        )?;
        println!("{traffic}");
        return Ok(());
    }
    let info = gpu.adapter().get_info();
    if info.device_type != wgpu::DeviceType::Cpu {
        bail!(
            "the adapter `{}` is no software adapter: its kernels run elsewhere, and the processor's instructions say \
             nothing of them. WGPU_ADAPTER_NAME=llvmpipe chooses Mesa's software adapter, where it is installed",
            info.name
        );
    }
    println!("{} ({} {})", info.name, info.driver, info.driver_info);

    let limits = Kernels::new(gpu.device()).limits().clone();
    let copies = layers
        .iter()
        .map(|layer| {
            let tensors = Tensors::new(&gpu, layer.shape, options.element);
            fastest_copy(&gpu, &limits, layer.shape, &tensors)
        })
        .collect::<Result<Vec<_>>>()?;
    let runs: Vec<(&Layer, Operation, usize)> = layers
        .iter()
        .zip(&copies)
        .flat_map(|(layer, &(geometry, _))| {
            let operations = Operation::value_variants().iter();
            operations.map(move |&operation| (layer, operation, geometry))
        })
        .collect();
    let costs = runs
        .into_par_iter()
        .map(|(layer, operation, geometry)| count(layer, options.element, operation, geometry))
        .collect::<Result<Vec<_>>>()?;

    let header = [
        "shape",
        "layout",
        "copy",
        "inference",
        "floor",
        "training",
        "floor",
        "backward",
        "floor",
        "copy of",
    ];
    let mut rows = Vec::with_capacity(layers.len());
    let costs = costs.chunks(Operation::value_variants().len());
    for ((layer, (_, geometry)), costs) in layers.iter().zip(&copies).zip(costs) {
        let (copy, operations) = costs.split_first().expect("the copy comes first");
        let mut row = vec![
            layer.sizes.clone(),
            layer.layout().to_owned(),
            format!("{:.2}", copy.instructions_per_value),
        ];
        for cost in operations {
            row.push(format!("{:.2}", cost.instructions_per_value));
            row.push(format!("{:.2}", cost.floor(*copy)));
        }
        row.push(geometry.to_string());
        rows.push(row);
    }
    println!("instructions per value; floor: the copy_fraction that they alone allow\n");
    // the copy's geometry is the last
    let last = header.len() - 1;
    table::print(header.map(str::to_owned).into(), rows, |column| {
        column == last
    });
    Ok(())
}

/// What one recording of an operation costs: the difference of two runs.
fn count(layer: &Layer, element: Element, operation: Operation, geometry: usize) -> Result<Cost> {
    let cache = tempfile::tempdir().context("a folder for the adapter's cache")?;
    let run = |recordings| {
        under_valgrind(
            layer,
            element,
            operation,
            geometry,
            recordings,
            cache.path(),
        )
    };
    // Compiles. The two that count find what it has compiled in Mesa's cache, so that they differ in nothing but recordings.
    run(1)?;
    let (few, more) = rayon::join(|| run(FEW), || run(MORE));
    let (few, more) = (few?, more?);
    let values = layer.shape.len() as f64;
    let instructions = more.instructions.checked_sub(few.instructions);
    let instructions = instructions.filter(|&one| one > 0).with_context(|| {
        format!(
            "{} of {layer}: {MORE} recordings took no more instructions than {FEW}; did the adapter compile anew?",
            operation.name()
        )
    })?;
    let cost = Cost {
        instructions_per_value: instructions as f64 / (MORE - FEW) as f64 / values,
        bytes_per_value: more.traffic as f64 / values,
    };
    eprintln!(
        "{} of {layer}: {:.2}",
        operation.name(),
        cost.instructions_per_value
    );
    Ok(cost)
}

/// Runs this program under valgrind, with one operation so many times.
fn under_valgrind(
    layer: &Layer,
    element: Element,
    operation: Operation,
    geometry: usize,
    recordings: u64,
    cache: &Path,
) -> Result<Run> {
    let output = Command::new("valgrind")
        .args([
            "--tool=cachegrind",
            "--cache-sim=no",
            "--cachegrind-out-file=/dev/null",
            // The adapter writes code as it runs.
            "--smc-check=all",
        ])
        .arg(env::current_exe().context("where this program is")?)
        .arg(layer.to_string())
        .args(["--element", element.name()])
        .args(["--record", operation.name()])
        .args(["--recordings", &recordings.to_string()])
        .args(["--geometry", &geometry.to_string()])
        // One thread of lavapipe: others would count their waiting.
        .env("LP_NUM_THREADS", "1")
        .env("MESA_SHADER_CACHE_DIR", cache)
        .env_remove("MESA_SHADER_CACHE_DISABLE")
        .output();
    let output = match output {
        Err(error) if error.kind() == io::ErrorKind::NotFound => bail!(
            "valgrind is not installed, and counts the instructions: `apt-get install valgrind` on Debian and Ubuntu, \
             `dnf install valgrind` on Fedora"
        ),
        output => output.context("valgrind does not start")?,
    };
    let said = String::from_utf8_lossy(&output.stderr);
    let name = operation.name();
    if !output.status.success() {
        bail!(
            "{name} of {layer} under valgrind: {}\n{said}",
            output.status
        );
    }
    let instructions = instructions(&said)
        .with_context(|| format!("{name} of {layer}: valgrind counted nothing\n{said}"))?;
    let traffic = String::from_utf8_lossy(&output.stdout);
    let traffic = traffic.trim().parse().context("the bytes of a run")?;
    Ok(Run {
        instructions,
        traffic,
    })
}

/// The number in cachegrind's `==123== I   refs:      1,234,567`.
fn instructions(said: &str) -> Option<u64> {
    said.lines().find_map(|line| {
        let (head, number) = line.split_once("refs:")?;
        (head.split_whitespace().last() == Some("I"))
            .then(|| number.trim().replace(',', "").parse().ok())?
    })
}

/// Records an operation so many times in one pass, and waits. The bytes of its least traffic.
fn record(
    gpu: &Gpu,
    shape: Shape,
    element: Element,
    operation: Operation,
    geometry: usize,
    recordings: u64,
) -> Result<u64> {
    let kernels = Kernels::new(gpu.device());
    let tensors = Tensors::new(gpu, shape, element);
    let candidates = CopyGeometry::candidates(kernels.limits(), tensors.x.bytes() / 4);
    let geometry = *candidates.get(geometry).context("no such geometry")?;
    let bound = operation.bind(gpu, &kernels, shape, &tensors, geometry)?;
    bound.time(gpu, recordings)?;
    Ok(bound.traffic)
}
