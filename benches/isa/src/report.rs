//! The tables, and what the check says.

use std::fmt::Write;

use crate::gpu::{Family, Gpu, Main, Measured};

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
    all.collect()
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
    first: &'a Measured,
    /// By GPU.
    kernels: Vec<Vec<&'a Measured>>,
}

fn rows(gpus: &[(Family, Gpu)]) -> Vec<Row<'_>> {
    let mut rows: Vec<Row<'_>> = vec![];
    for (number, (_, gpu)) in gpus.iter().enumerate() {
        for kernel in &gpu.kernels {
            let key = |kernel: &Measured| {
                let about = &kernel.about;
                let texts = [&about.element, &about.stage, &about.walk, &about.options];
                (texts.map(String::clone), about.width)
            };
            let found = rows.iter_mut().find(|row| key(row.first) == key(kernel));
            let row = match found {
                Some(row) => row,
                None => {
                    rows.push(Row {
                        first: kernel,
                        kernels: vec![vec![]; gpus.len()],
                    });
                    rows.last_mut().expect("one was pushed")
                }
            };
            row.kernels[number].push(kernel);
        }
    }
    rows.sort_by_key(|row| {
        let about = &row.first.about;
        (!about.stage.starts_with("forward"), order(&about.stage))
    });
    rows
}

/// Where a stage stands in a table.
fn order(stage: &str) -> usize {
    let order = [
        "statistics",
        "sums",
        "coefficients",
        "normalize",
        "input",
        "fused",
        "mask",
    ];
    let name = stage.rsplit('/').next().unwrap_or(stage);
    order
        .iter()
        .position(|known| *known == name)
        .unwrap_or(order.len())
}

/// One number for each GPU, the worst of its kernels; once where all are the same.
fn cell<T: std::fmt::Display>(numbers: impl Iterator<Item = Option<T>>) -> String {
    let texts: Vec<String> = numbers
        .map(|number| number.map_or_else(|| "-".to_owned(), |number| number.to_string()))
        .collect();
    if texts.iter().all(|text| *text == texts[0]) {
        texts[0].clone()
    } else {
        texts.join(" / ")
    }
}

fn vector_instructions(
    kernels: &[Vec<&Measured>],
    main: impl Fn(&Measured) -> Option<Main>,
) -> String {
    cell(kernels.iter().map(|kernels| {
        let worst = kernels
            .iter()
            .filter_map(|kernel| main(kernel))
            .map(|main| main.vector_per_value)
            .max_by(f64::total_cmp);
        worst.map(|worst| format!("{worst:.2}"))
    }))
}

const TITLES: &str = "\
| stage | walk | of | options | registers | occupancy, % | gather | apply | loads in flight |
|---|---|---|---|---|---|---|---|---|
";

fn line(text: &mut String, kernels: &[Vec<&Measured>], gpus: &[(Family, Gpu)]) {
    let Some(first) = kernels.iter().flatten().next() else {
        return;
    };
    let about = &first.about;
    let registers = cell(
        kernels
            .iter()
            .map(|kernels| kernels.iter().map(|kernel| kernel.vector_registers).max()),
    );
    let occupancy = cell(kernels.iter().zip(gpus).map(|(kernels, (_, gpu))| {
        let least = kernels.iter().map(|kernel| kernel.subgroups_per_simd).min();
        least.map(|least| 100 * least / gpu.most_subgroups)
    }));
    let in_flight = cell(kernels.iter().map(|kernels| {
        let mains = kernels
            .iter()
            .flat_map(|kernel| [kernel.gather(), kernel.apply()]);
        mains.flatten().map(|main| main.in_flight).min()
    }));
    writeln!(
        text,
        "| {} | {} | {} {} | {} | {registers} | {occupancy} | {} | {} | {in_flight} |",
        about.stage,
        about.walk,
        about.width,
        about.element,
        about.options,
        vector_instructions(kernels, Measured::gather),
        vector_instructions(kernels, Measured::apply),
    )
    .expect("a String takes any text");
}

/// The page of all tables.
pub fn page(gpus: &[(Family, Gpu)]) -> String {
    let mut text = String::new();
    let rows = rows(gpus);
    text += TITLES;
    for number in 0..gpus.first().map_or(0, |(_, gpu)| gpu.copies.len()) {
        let kernels: Vec<Vec<_>> = gpus
            .iter()
            .map(|(_, gpu)| vec![&gpu.copies[number]])
            .collect();
        line(&mut text, &kernels, gpus);
    }
    for row in &rows {
        line(&mut text, &row.kernels, gpus);
    }
    text
}
