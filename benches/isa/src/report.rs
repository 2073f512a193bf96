//! The tables, and what the check says.

use std::fmt::Write;

use crate::gpu::{Family, Gpu, Main, Measured};
use crate::kernels::{About, COMMON, Tensors};

/// What is wrong with kernels, a line for each.
pub fn faults(gpus: &[(Family, Gpu)]) -> Vec<String> {
    let all = gpus.iter().flat_map(|(family, gpu)| {
        gpu.kernels.iter().flat_map(|kernel| {
            let faults = kernel.faults(gpu.most_subgroups);
            faults
                .into_iter()
                .map(|fault| format!("{}: {} {fault}", family.name, kernel.about.name()))
        })
    });
    let mut all: Vec<_> = all.collect();
    // of kernels that differ in what the name does not say
    all.dedup();
    all
}

/// How much was looked at.
pub fn counts(gpus: &[(Family, Gpu)], faults: usize) -> String {
    let counts: Vec<_> = gpus
        .iter()
        .map(|(family, gpu)| format!("{} for {}", gpu.kernels.len(), family.name))
        .collect();
    format!("compiled {}: {faults} faults", counts.join(", "))
}

/// Kernels that make one row: of one stage, walk, element and option, with whatever arrangement of lanes.
struct Row<'a> {
    about: &'a About,
    options: &'a str,
    /// By GPU.
    kernels: Vec<Vec<&'a Measured>>,
}

/// What is computed, where the stage's code depends on it.
fn options(about: &About) -> &str {
    let statistics = ["forward/statistics", "forward/coefficients"].contains(&about.stage.as_str());
    if statistics || about.tensors == Tensors::default() {
        ""
    } else {
        &about.options
    }
}

fn rows(gpus: &[(Family, Gpu)]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = vec![];
    for (number, (_, gpu)) in gpus.iter().enumerate() {
        for kernel in &gpu.kernels {
            let about = &kernel.about;
            let key = |about: &About| {
                let texts = [&about.element, &about.stage, &about.walk].map(String::clone);
                (texts, about.width, options(about).to_owned())
            };
            let row = match rows.iter().position(|row| key(row.about) == key(about)) {
                Some(found) => &mut rows[found],
                None => {
                    let kernels = vec![vec![]; gpus.len()];
                    rows.push(Row {
                        about,
                        options: options(about),
                        kernels,
                    });
                    rows.last_mut().expect("one was pushed")
                }
            };
            row.kernels[number].push(kernel);
        }
    }
    rows.sort_by_key(|row| {
        let (stage, walk) = (stage_order(&row.about.stage), walk_order(&row.about.walk));
        (stage, walk, std::cmp::Reverse(row.about.width))
    });
    rows
}

/// Where a stage stands in a table: as it does in a pass.
fn stage_order(stage: &str) -> usize {
    const ORDER: [&str; 14] = [
        "forward/statistics",
        "forward/coefficients",
        "forward/finalize",
        "forward/merge",
        "forward/normalize",
        "forward/fused",
        "forward/resident",
        "forward/mask",
        "backward/sums",
        "backward/coefficients",
        "backward/finalize",
        "backward/input",
        "backward/fused",
        "backward/resident",
    ];
    let found = ORDER.iter().position(|known| *known == stage);
    found.unwrap_or(ORDER.len())
}

fn walk_order(walk: &str) -> usize {
    let order = ["rows", "columns", "quads", "planes", "words"];
    let found = order.iter().position(|known| *known == walk);
    found.unwrap_or(order.len())
}

/// A text for each GPU; one where all are the same.
fn cell(texts: impl Iterator<Item = Option<String>>) -> String {
    let texts: Vec<_> = texts
        .map(|text| text.unwrap_or_else(|| "-".to_owned()))
        .collect();
    if texts.windows(2).all(|pair| pair[0] == pair[1]) {
        texts.first().cloned().unwrap_or_default()
    } else {
        texts.join(" / ")
    }
}

/// Of the kernels of each GPU the most of something.
fn most(row: &Row<'_>, number: impl Fn(&Measured) -> Option<f64>, digits: usize) -> String {
    cell(row.kernels.iter().map(|kernels| {
        let numbers = kernels.iter().filter_map(|kernel| number(kernel));
        let most = numbers.max_by(f64::total_cmp);
        most.map(|most| format!("{most:.digits$}"))
    }))
}

const TITLES: &str = "\
| stage | walk | of | computes | registers | occupancy, % | gather | apply | loads in flight |
|---|---|---|---|--:|--:|--:|--:|--:|
";

fn line(row: &Row<'_>, gpus: &[(Family, Gpu)]) -> String {
    let about = row.about;
    let occupancy = cell(row.kernels.iter().zip(gpus).map(|(kernels, (_, gpu))| {
        let least = kernels.iter().map(|kernel| kernel.subgroups_per_simd).min();
        least.map(|least| (100 * least / gpu.most_subgroups).to_string())
    }));
    let in_flight = cell(row.kernels.iter().map(|kernels| {
        let mains = kernels
            .iter()
            .flat_map(|kernel| [kernel.gather(), kernel.apply()]);
        let least = mains.flatten().map(|main| main.in_flight).min();
        least.map(|least| least.to_string())
    }));
    let vector = |main: fn(&Measured) -> Option<Main>| {
        most(
            row,
            |kernel| main(kernel).map(|main| main.vector_per_value),
            1,
        )
    };
    let registers = most(row, |kernel| Some(kernel.vector_registers as f64), 0);
    let gather = vector(Measured::gather);
    let apply = vector(Measured::apply);
    format!(
        "| {} | {} | {} | {} | {registers} | {occupancy} | {gather} | {apply} | {in_flight} |\n",
        about.stage, about.walk, about.width, row.options,
    )
}

fn table<'a>(rows: impl Iterator<Item = &'a Row<'a>>, gpus: &[(Family, Gpu)]) -> String {
    let lines = rows.map(|row| line(row, gpus));
    format!("{TITLES}{}\n", lines.collect::<String>())
}

/// The page of all tables.
pub fn page(gpus: &[(Family, Gpu)]) -> String {
    let mut text = format!("{HEAD}\n");
    let names: Vec<_> = gpus
        .iter()
        .map(|(family, _)| format!("{} ({})", family.name, family.generation))
        .collect();
    let numbers: Vec<_> = gpus
        .iter()
        .map(|(_, gpu)| gpu.kernels.len().to_string())
        .collect();
    let driver = gpus.first().map_or("", |(_, gpu)| &gpu.driver);
    let faults = faults(gpus).len();
    writeln!(
        text,
        "Compiled by the AMD driver of {driver}, whose compiler is ACO, for {}:\n{} kernels, of which {} are bad by what \
         `--check` holds them to.\n",
        names.join(", "),
        numbers.join(", "),
        if faults == 0 { "none".to_owned() } else { faults.to_string() },
    )
    .expect("a String takes any text");
    text += LEGEND;
    text += "\n| card | f32, inference | halves, inference |\n|---|--:|--:|\n";
    for (family, _) in gpus {
        let card = family.card;
        writeln!(
            text,
            "| {} ({}) | {:.0} | {:.0} |",
            card.name,
            family.name,
            card.vector_instructions(8.0),
            card.vector_instructions(4.0)
        )
        .expect("a String takes any text");
    }

    text += &resident(gpus);

    text += "\n## Copy\n\nThe yardstick of `cargo bench` in the two ways that suit GPUs: one vec4 a turn, and four.\n\n";
    let copies: Vec<Row<'_>> = (0..gpus.first().map_or(0, |(_, gpu)| gpu.copies.len()))
        .map(|number| Row {
            about: &gpus[0].1.copies[number].about,
            options: "",
            kernels: gpus
                .iter()
                .map(|(_, gpu)| vec![&gpu.copies[number]])
                .collect(),
        })
        .collect();
    text += &table(copies.iter(), gpus);

    let rows = rows(gpus);
    let plain = |options: &str| COMMON.contains(&options) || options == "ReLU by input";
    for (element, title) in [("f32", "f32"), ("f16", "f16"), ("bf16", "bf16")] {
        writeln!(text, "## {title}\n").expect("a String takes any text");
        let rows = rows.iter().filter(|row| row.about.element == element);
        text += &table(rows.filter(|row| plain(row.options)), gpus);
    }
    text += "## Other activations and gradients\n\n\
             Of f32, where rows are whole vec4 of one channel; the other walks and the halves add the same.\n\n";
    let others = rows.iter().filter(|row| {
        let about = row.about;
        (about.element == "f32" && about.walk == "rows" && about.width == 4) && !plain(row.options)
    });
    text += &table(others, gpus);
    text.trim_end().to_owned() + "\n"
}

/// What occupancy kernels have that keep a tensor in registers, and why it may be lower.
fn resident(gpus: &[(Family, Gpu)]) -> String {
    let least = gpus.iter().map(|(family, gpu)| {
        let least = |direction: &str| {
            let kernels = gpu.kernels.iter().map(|kernel| (kernel, &kernel.about));
            let resident = kernels
                .filter(|(_, about)| about.is_resident() && about.stage.starts_with(direction));
            let subgroups = resident.map(|(kernel, _)| kernel.subgroups_per_simd).min();
            let percent = subgroups.map(|least| 100 * least / gpu.most_subgroups);
            percent.map_or_else(|| "-".to_owned(), |percent| percent.to_string())
        };
        let (forward, backward) = (least("forward"), least("backward"));
        format!("| {} | {forward} | {backward} |\n", family.name)
    });
    format!("{RESIDENT}{}", least.collect::<String>())
}

const HEAD: &str = "\
# Machine code for GPUs

Speeds are measured on a software adapter, which says little about hardware. This page says what of hardware can be said
without any: Mesa's AMD compiler compiles for GPUs that are not there. `scripts/isa` plans every walk, stage and option that
the defaults choose for integrated and discrete GPUs, with and without subgroups, writes SPIR-V with the options that wgpu
30 has on Vulkan 1.3 (loops bounded, no bounds checks of buffers where the hardware checks), and reads what the compiler
says and what it made. The page is its output; to make it again:

```sh
scripts/isa                                 # writes this page
scripts/isa --check                         # fails where a kernel is bad; CI runs it
scripts/isa --show statistics rows f32      # text and machine code of some kernels
scripts/isa --file some.wgsl                # of a shader that is not in the crate yet
```
";

const LEGEND: &str = "\
- `of`: values in one access.
- `registers`: vector registers of a lane.
- `occupancy`: subgroups of 64 lanes that a SIMD unit holds, of those that it holds of an empty kernel.
- `gather`, `apply`: vector instructions per value in the main loop that reads tensors, and in the one that writes them.
- `loads in flight`: of one lane, in the main loop with the fewest, before it waits for the first.

Where GPUs differ, numbers are for one after another. Of kernels that differ only in how lanes are arranged, a row has the
worst. `--check` fails where a kernel spills registers, has scratch memory, lets less than half of the subgroups run, or goes
over f32 tensors whose rows are whole vec4 by less than 16 bytes at a time. The one exception is the occupancy of kernels that
keep a tensor in registers (`resident`). What a loop does only at the end of a block of 16 turns is counted as if each turn
did it.

Memory is what a GPU waits for, as long as the vector instructions per value are fewer than fit into the time in which memory
moves that value. By the peak rates of three cards, inference (one read, one write) leaves time for so many:
";

const RESIDENT: &str = "
Resident kernels may let fewer than half of the subgroups run. Occupancy is for switching to another subgroup while one waits
for its loads, of which it has two or so on their way. A lane of a resident kernel holds up to 16 accesses of 16 bytes in 64
registers and has the loads of all of them on their way before it waits for the first: a workgroup of 256 lanes loads 64 KiB at
once. Two such workgroups fit onto a compute unit at the least, so that one loads while the other computes. What it is for is
worth more than what it gives up: every tensor is read once instead of twice. The least occupancy, in percent:

| GPU | forward | backward |
|---|--:|--:|
";
