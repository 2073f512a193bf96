//! How much of each operation's time its accesses to memory take alone. `cargo bench --bench bounds [-- SHAPE...]`
//!
//! Beside every operation its own kernels are timed with the arithmetic taken out: the same loops, loads and stores in the same
//! order, and as good as nothing computed from what was loaded. What such kernels do not reach of the copy kernel's speed no
//! arithmetic can be blamed for. Their instructions are counted by `cargo bench --bench instructions`.
//!
//! Copy, operation and bare accesses are timed in turn, on the same tensors; the numbers are those of the medians.

#[path = "common/layer.rs"]
mod layer;
#[path = "common/operation.rs"]
mod operation;
#[path = "common/table.rs"]
mod table;
#[path = "common/tensors.rs"]
mod tensors;

use std::time::Duration;

use anyhow::{Result, ensure};
use clap::Parser;
use wgpu_batchnorm::{DeviceLimits, Element, Gpu, GpuOptions, Kernels};

use layer::Layer;
use operation::{Operation, fastest_copy, median};
use tensors::Tensors;

/// The text of a shader.
macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!("../shaders/", $path))
    };
}

/// What is computed of the values, in which files, and what stands there instead: so much that no load can be left out.
const ARITHMETIC: &[(&[&str], &str, &str)] = &[
    // statistics: sums of squares and deviations, and of which channel an access is
    (&[shader!("forward/gather/add.wgsl")], " - center;", ";"),
    (
        &[shader!("forward/gather/add.wgsl")],
        "*squares += a * a + b * b;",
        "",
    ),
    (
        &[shader!("forward/gather/columns.wgsl")],
        ") - center;",
        ");",
    ),
    (
        &[shader!("forward/gather/columns.wgsl")],
        "squares += (a * a + b * b) + (c * c + d * d);",
        "",
    ),
    (
        &[shader!("forward/gather/quads.wgsl")],
        "select(V(0.0), a - own, FIRST < vec4(left))",
        "a",
    ),
    (
        &[shader!("forward/gather/quads.wgsl")],
        "select(V(0.0), b - own, SECOND < vec4(left))",
        "b",
    ),
    (
        &[shader!("forward/gather/quads.wgsl")],
        "channel.squares += own_a * own_a + own_b * own_b;",
        "",
    ),
    // normalize
    (
        &[shader!("forward/element.wgsl")],
        "(loaded.x - c.mean) * c.scale + c.shift",
        "loaded.x",
    ),
    // sums of gradients
    (
        &[shader!("backward/gather/add.wgsl")],
        "*products += ga * (a.x - c.mean) + gb * (b.x - c.mean);",
        "*products += a.x + b.x;",
    ),
    (
        &[shader!("backward/gather/add.wgsl")],
        "*products += g * (a.x - c.mean);",
        "*products += a.x;",
    ),
    (
        &[shader!("backward/gather/quads.wgsl")],
        "select(V(0.0), g, own)",
        "g",
    ),
    (
        &[shader!("backward/gather/quads.wgsl")],
        "select(V(0.0), g * (a.x - c.mean), own)",
        "a.x",
    ),
    // the gradient of the input
    (
        &[shader!("backward/element.wgsl")],
        "c.scale * ((g - (x - c.mean) * c.slope) - c.offset)",
        "g + x",
    ),
];

const OPERATIONS: [Operation; 3] = [
    Operation::Inference,
    Operation::Training,
    Operation::Backward,
];

/// Rounds, in each of which all that is compared is timed once.
const ROUNDS: usize = 25;
/// Values that are gone over in one round, about.
const VALUES: u64 = 1 << 25;

/// Times the operations, and their accesses to memory alone.
#[derive(Parser)]
struct Options {
    /// Sizes in memory order; `:channels-last` after them where the channels are, as in 8x56x56x64:channels-last
    #[arg(
        value_name = "SHAPE",
        default_values = [
            "32x64x112x112",
            "32x64x56x56",
            "32x256x56x56",
            "32x512x28x28",
            "32x1024x14x14",
            "32x2048x7x7",
            "32x112x112x64:channels-last",
            "32x56x56x64:channels-last",
            "32x56x56x256:channels-last",
            "32x28x28x512:channels-last",
            "32x14x14x1024:channels-last",
            "32x7x7x2048:channels-last",
            "4096x1024",
            "65536x64",
            "256x4096",
        ]
    )]
    layers: Vec<Layer>,
    /// All tensors of a pass begin alike, at the start of their buffers, and not 256 bytes further in than the one before
    #[arg(long)]
    together: bool,
    /// What `cargo bench` passes to every bench.
    #[arg(long, hide = true)]
    bench: bool,
}

fn main() -> Result<()> {
    let options = Options::parse();
    // else kernels called bare would compute as the others do
    for (files, arithmetic, _) in ARITHMETIC {
        for file in *files {
            ensure!(
                file.contains(arithmetic),
                "`{arithmetic}` is not in the shader that begins with:\n{}",
                file.lines().take(3).collect::<Vec<_>>().join("\n")
            );
        }
    }
    let gpu = Gpu::blocking(&GpuOptions::from_env().limits(DeviceLimits::Adapter))?;
    let info = gpu.adapter().get_info();
    println!("{} ({} {})", info.name, info.driver, info.driver_info);
    println!("fractions of the copy's speed; bare: the same kernels without their arithmetic\n");

    let kernels = Kernels::new(gpu.device());
    let bare = Kernels::edited(gpu.device(), |text| {
        let without = |text: String, (_, from, to): &(_, &str, &str)| text.replace(from, to);
        ARITHMETIC.iter().fold(text.to_owned(), without)
    });
    let mut header = vec!["shape", "layout"];
    for operation in OPERATIONS {
        header.extend([operation.name(), "bare"]);
    }
    let mut rows = Vec::with_capacity(options.layers.len());
    for layer in &options.layers {
        eprintln!("{layer}");
        let places = if options.together { [0; 3] } else { [0, 1, 2] };
        let tensors = Tensors::placed(&gpu, layer.shape, Element::F32, places);
        rows.push(measure(&gpu, [&kernels, &bare], layer, &tensors)?);
    }
    table::print(
        header.into_iter().map(str::to_owned).collect(),
        rows,
        |_| false,
    );
    Ok(())
}

/// The row of a shape.
fn measure(
    gpu: &Gpu,
    kernels: [&Kernels; 2],
    layer: &Layer,
    tensors: &Tensors,
) -> Result<Vec<String>> {
    let shape = layer.shape;
    let (_, geometry) = fastest_copy(gpu, kernels[0].limits(), shape, tensors)?;
    let bind =
        |operation: Operation, kernels| operation.bind(gpu, kernels, shape, tensors, geometry);
    let mut contenders = vec![bind(Operation::Copy, kernels[0])?];
    for operation in OPERATIONS {
        for kernels in kernels {
            contenders.push(bind(operation, kernels)?);
        }
    }
    let recordings = VALUES.div_ceil(shape.len());
    // the first time compiles
    for contender in &contenders {
        contender.time(gpu, 1)?;
    }
    let mut times = vec![Vec::<Duration>::with_capacity(ROUNDS); contenders.len()];
    for _ in 0..ROUNDS {
        for (contender, times) in contenders.iter().zip(&mut times) {
            times.push(contender.time(gpu, recordings)?);
        }
    }
    let speeds: Vec<f64> = contenders
        .iter()
        .zip(times)
        .map(|(contender, times)| contender.traffic as f64 / median(times).as_secs_f64())
        .collect();
    let mut row = vec![layer.sizes.clone(), layer.layout().to_owned()];
    row.extend(
        speeds[1..]
            .iter()
            .map(|speed| format!("{:.2}", speed / speeds[0])),
    );
    Ok(row)
}
