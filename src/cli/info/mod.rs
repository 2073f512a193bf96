//! `info`: what there is to run on, and how each adapter would be used. Runs nothing.

mod facts;
mod path;
mod saved;

use std::path::PathBuf;

use anyhow::Result;
use clap::Args;
use serde::Serialize;

use super::Verdict;
use super::adapter::AdapterChoice;
use super::device::AdapterReport;
use super::output::{self, WholeFile, adapter_lines, lines, print, row, table, wrapped};
use super::size::{Layout, Sizes};
use facts::Facts;
use path::Path;
use saved::Saved;

use Layout::{ChannelsFirst, ChannelsLast};

/// Shapes whose paths differ on one adapter or another.
const SHAPES: [(Layout, &[usize]); 9] = [
    (ChannelsFirst, &[32, 64, 112, 112]),
    (ChannelsFirst, &[32, 256, 56, 56]),
    (ChannelsFirst, &[32, 2048, 7, 7]),
    (ChannelsFirst, &[4, 3, 1000, 1000]),
    (ChannelsFirst, &[256, 64, 112, 112]),
    (ChannelsLast, &[32, 56, 56, 256]),
    (ChannelsLast, &[32, 7, 7, 2048]),
    (ChannelsLast, &[4096, 1024]),
    (ChannelsLast, &[64, 10]),
];

const LEGEND: &str = "\
path        fused: statistics (or a gradient's sums) and result in one dispatch
            whole: the statistics of whole channels, then the result
            split: the statistics of parts of channels, finalize, the result
            given: the result alone, from given statistics
team        who shares a channel's values: a lane has it alone, the lanes of a
            subgroup or of a workgroup combine
walk        how a workgroup goes over the tensor
windows     parts of the tensor that are bound one after the other
dispatches  all of a step's
why         the sentences below the table";

/// What to say about the adapters.
#[derive(Args, Debug)]
pub struct Arguments {
    /// Plan this shape alone: sizes in memory order, as in 32x64x56x56
    #[arg(long, value_name = "SIZES")]
    shape: Option<Sizes>,
    /// Where the shape's channels are; channels-first where there are three sizes or more
    #[arg(long, requires = "shape")]
    layout: Option<Layout>,
    /// Write what was found to this file as well
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
}

#[derive(Debug, Serialize)]
struct Report {
    version: &'static str,
    adapters: Vec<Adapter>,
}

#[derive(Debug, Serialize)]
struct Adapter {
    #[serde(flatten)]
    report: AdapterReport,
    /// Whether it is the one that the same flags choose for `bench` and `check`.
    chosen: bool,
    #[serde(flatten)]
    facts: Facts,
    tuning: Saved,
    paths: Vec<Path>,
    #[serde(skip)]
    lines: String,
}

/// Lists the adapters that fit, at least one.
pub fn run(arguments: &Arguments, choice: &AdapterChoice) -> Result<Verdict> {
    let json = arguments.json.as_deref().map(WholeFile::new).transpose()?;
    let shapes = match &arguments.shape {
        Some(sizes) => vec![(
            arguments.layout.unwrap_or_else(|| sizes.usual_layout()),
            sizes.clone(),
        )],
        None => SHAPES
            .into_iter()
            .map(|(layout, sizes)| (layout, Sizes(sizes.to_vec())))
            .collect(),
    };
    let chosen = choice.find().ok().map(|adapter| adapter.get_info());
    let mut adapters = Vec::new();
    for adapter in choice.list()? {
        let info = adapter.get_info();
        let facts = Facts::new(&adapter);
        let mut paths = Vec::new();
        if let Some(limits) = facts.plan_limits() {
            for (layout, sizes) in &shapes {
                paths.extend(Path::all(limits, *layout, sizes)?);
            }
        }
        adapters.push(Adapter {
            report: AdapterReport::new(&info),
            chosen: chosen.as_ref() == Some(&info),
            paths,
            tuning: Saved::new(&info, &facts),
            facts,
            lines: adapter_lines(&info),
        });
    }
    let report = Report {
        version: env!("CARGO_PKG_VERSION"),
        adapters,
    };
    let texts: Vec<_> = report.adapters.iter().map(text).collect();
    print(&texts.join("\n\n"))?;
    if report
        .adapters
        .iter()
        .any(|adapter| !adapter.paths.is_empty())
    {
        print(&format!("\n{LEGEND}"))?;
    }
    if let Some(json) = json {
        json.write(&output::json(&report)?)?;
    }
    Ok(Verdict::Right)
}

fn text(adapter: &Adapter) -> String {
    let mut parts = vec![adapter.lines.clone()];
    if adapter.chosen {
        parts.push("(the one that bench and check run on with these flags)".to_owned());
    }
    parts.push(adapter.facts.text());
    parts.push(adapter.tuning.text());
    if adapter.paths.is_empty() {
        return parts.join("\n");
    }

    let mut reasons: Vec<&str> = Vec::new();
    let mut table = table(
        &[
            "shape",
            "channels",
            "step",
            "path",
            "team",
            "walk",
            "windows",
            "dispatches",
            "why",
        ],
        6,
    );
    for path in &adapter.paths {
        let why: String = path
            .why
            .iter()
            .map(|reason| {
                let known = reasons.iter().position(|known| known == reason);
                let number = known.unwrap_or(reasons.len());
                if known.is_none() {
                    reasons.push(reason);
                }
                char::from(b'a' + number as u8)
            })
            .collect();
        table.add_row(row(path.cells().into_iter().chain([why]), 6));
    }
    let why: Vec<String> = ('a'..)
        .zip(&reasons)
        .map(|(letter, reason)| format!("{letter} {reason}"))
        .collect();
    parts.push(format!(
        "\nHow steps would run on it, with all limits that it has\n\n{}\n\n{}",
        lines(table).join("\n"),
        wrapped(&why)
    ));
    parts.join("\n")
}
