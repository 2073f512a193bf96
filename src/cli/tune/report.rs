//! What a search gained, for people and for programs.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use serde::Serialize;
use wgpu_batchnorm::{Limits, Operation, TunedPass, Tuning};

use super::search::Wrong;
use crate::cli::Verdict;
use crate::cli::bench::clock::{Clock, Stopwatch};
use crate::cli::bench::computation::Computation;
use crate::cli::bench::workload::Workload;
use crate::cli::device::{AdapterReport, Device};
use crate::cli::output::{adapter_lines, digits, lines, row, table, wrapped};
use crate::cli::size::{Layout, Sizes};

const LEGEND: &str = "\
of copy  copy_fraction: the pass's speed by its least traffic, over the copy
         kernel's, with the default tuning and with the one that was found
gain     the default's time over the time that was found, timed in turn
         (1 where no other tuning was faster), and below it by what";

/// Everything that a run has found, and what it found before.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    adapter: AdapterReport,
    clock: Clock,
    /// The file that the tunings are in.
    file: String,
    rows: Vec<Row>,
    #[serde(skip)]
    adapter_lines: String,
    #[serde(skip)]
    limits: Limits,
}

/// A pass over a shape.
#[derive(Debug, Serialize)]
pub struct Row {
    operation: Operation,
    element: &'static str,
    layout: Layout,
    shape: Sizes,
    /// Whether it was found before this run.
    known: bool,
    /// Tunings that this run timed, beside the default.
    tried: usize,
    gain: Option<f64>,
    default_copy_fraction: Option<f64>,
    copy_fraction: Option<f64>,
    /// The fields that differ from the default, each with its value there and here.
    changed: BTreeMap<&'static str, [String; 2]>,
    /// None where the results of the default are wrong.
    tuning: Option<Tuning>,
    /// Tunings whose results are wrong.
    wrong: Vec<WrongTuning>,
    #[serde(skip)]
    computation: Computation,
}

#[derive(Debug, Serialize)]
struct WrongTuning {
    tuning: Tuning,
    what: String,
}

impl Row {
    /// What this run found, and what computed wrong results.
    pub fn new(
        workload: &Workload,
        computation: Computation,
        found: Option<TunedPass>,
        tried: usize,
        wrong: Vec<Wrong>,
    ) -> Self {
        let copy_fraction = found.as_ref().and_then(|found| found.copy_fraction);
        let gain = found.as_ref().map(|found| found.gain);
        Self {
            operation: computation.operation,
            element: computation.layer.element.name(),
            layout: workload.layout,
            shape: workload.sizes.clone(),
            known: false,
            tried,
            gain,
            default_copy_fraction: copy_fraction.zip(gain).map(|(tuned, gain)| tuned / gain),
            copy_fraction,
            changed: BTreeMap::new(),
            tuning: found.map(|found| found.tuning),
            wrong: wrong
                .into_iter()
                .map(|Wrong { tuning, what }| WrongTuning { tuning, what })
                .collect(),
            computation,
        }
    }

    /// What an earlier run found.
    pub fn known(workload: &Workload, computation: Computation, found: TunedPass) -> Self {
        Self {
            known: true,
            ..Self::new(workload, computation, Some(found), 0, Vec::new())
        }
    }

    fn cells(&self) -> [String; 5] {
        let number =
            |number: Option<f64>| number.map_or("-".to_owned(), |value| format!("{value:.2}"));
        [
            self.shape.to_string(),
            self.computation.short(),
            number(self.default_copy_fraction),
            number(self.copy_fraction),
            number(self.gain),
        ]
    }
}

/// The fields of a tuning that differ from another's, with both values.
fn changes(from: &Tuning, to: &Tuning) -> BTreeMap<&'static str, [String; 2]> {
    let fields = Tuning::fields().iter();
    let values = fields.map(|field| (field.name(), [field.value(from), field.value(to)]));
    values.filter(|(_, [from, to])| from != to).collect()
}

fn in_words(changes: &BTreeMap<&'static str, [String; 2]>) -> String {
    let words = changes
        .iter()
        .map(|(name, [from, to])| format!("{name} {from} -> {to}"));
    words.collect::<Vec<_>>().join(", ")
}

impl Report {
    /// Of rows that are saved in this file.
    pub fn new(
        device: &Device,
        stopwatch: &Stopwatch<'_>,
        file: &Path,
        mut rows: Vec<Row>,
    ) -> Self {
        let info = device.info();
        let limits = device.kernels.limits().clone();
        let default = Tuning::for_limits(&limits);
        for row in &mut rows {
            let tuning = row.tuning.as_ref();
            row.changed = tuning.map_or_else(BTreeMap::new, |tuning| changes(&default, tuning));
        }
        Self {
            version: env!("CARGO_PKG_VERSION"),
            adapter: AdapterReport::new(&info),
            clock: stopwatch.clock(),
            file: file.display().to_string(),
            rows,
            adapter_lines: adapter_lines(&info),
            limits,
        }
    }

    /// For people.
    pub fn text(&self, elapsed: Duration) -> String {
        let titles = ["shape", "", "of copy", "tuned", "gain"];
        let mut table = table(&titles, 2);
        for found in &self.rows {
            table.add_row(row(found.cells(), 2));
        }
        let mut rendered = lines(table).into_iter();
        let mut rows: Vec<String> = rendered.next().into_iter().collect();
        for (found, line) in self.rows.iter().zip(rendered) {
            rows.push(line);
            if !found.changed.is_empty() {
                rows.push(wrapped(&[format!("by {}", in_words(&found.changed))]));
            }
        }
        let count = |is: fn(&Row) -> bool| self.rows.iter().filter(|row| is(row)).count();
        let known = count(|row| row.known);
        let before = if known > 0 {
            format!("; {known} were found before, which --again searches again")
        } else {
            String::new()
        };
        let faster = count(|row| row.gain.is_some_and(|gain| gain > 1.0));
        let gains: Vec<f64> = self.rows.iter().filter_map(|row| row.gain).collect();
        let mean = gains.iter().map(|gain| gain.ln()).sum::<f64>() / gains.len().max(1) as f64;
        let summary = wrapped(&[format!(
            "{faster} of {} passes are faster than by default, all of them together by {:.2} (geometric mean), after {} \
             tunings were timed{before} ({} s)",
            self.rows.len(),
            mean.exp(),
            self.rows.iter().map(|row| row.tried).sum::<usize>(),
            digits(elapsed.as_secs_f64())
        )]);
        format!(
            "wgpu-batchnorm {} on {}\n\n{LEGEND}\n\n{}\n\n{summary}\nsaved in {}",
            self.version,
            self.adapter_lines,
            rows.join("\n"),
            self.file
        )
    }

    /// A line for each tuning that computes wrong results.
    pub fn wrong(&self) -> Vec<String> {
        let default = Tuning::for_limits(&self.limits);
        let of_row = |row: &Row| {
            let name = format!("{} {} {}", row.shape, row.layout, row.computation);
            let line = |wrong: &WrongTuning| {
                let tuning = match in_words(&changes(&default, &wrong.tuning)) {
                    words if words.is_empty() => "the default tuning".to_owned(),
                    words => words,
                };
                format!("WRONG: {name}, by {tuning}: {}", wrong.what)
            };
            row.wrong.iter().map(line).collect::<Vec<_>>()
        };
        self.rows.iter().flat_map(of_row).collect()
    }

    /// Whether any tuning computes wrong results.
    pub fn verdict(&self) -> Verdict {
        if self.rows.iter().all(|row| row.wrong.is_empty()) {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::bench::report::tests::plain;
    use wgpu_batchnorm::{Element, wgpu};

    fn report() -> Report {
        let limits = Limits::default();
        let default = Tuning::for_limits(&limits);
        let workload = Workload::custom("8x64x56x56".parse().expect("sizes"), None);
        let workload = workload.expect("a shape");
        let computation = plain(Operation::Training);
        let faster = TunedPass {
            operation: Operation::Training,
            element: Element::F32,
            shape: workload.sizes.shape(workload.layout).expect("a shape"),
            tuning: Tuning {
                workgroup_size: 64,
                fused_bytes: u64::MAX,
                ..default.clone()
            },
            gain: 1.5,
            copy_fraction: Some(0.9),
        };
        let wrong = Wrong {
            tuning: Tuning {
                block: 8,
                ..default.clone()
            },
            what: "y: 1 outside".into(),
        };
        let mut rows = vec![
            Row::known(&workload, computation, faster),
            Row::new(&workload, computation, None, 7, vec![wrong]),
        ];
        for row in &mut rows {
            let tuning = row.tuning.as_ref();
            row.changed = tuning.map_or_else(BTreeMap::new, |tuning| changes(&default, tuning));
        }
        Report {
            version: "1",
            adapter: AdapterReport::new(&wgpu::AdapterInfo::new(
                wgpu::DeviceType::Cpu,
                wgpu::Backend::Vulkan,
            )),
            clock: Clock::Wall,
            file: "tunings.json".into(),
            rows,
            adapter_lines: "adapter".into(),
            limits,
        }
    }

    #[test]
    fn the_table_says_what_was_gained_by_what() {
        let text = report().text(Duration::from_secs(2));
        for part in [
            "8x64x56x56",
            "0.60",
            "0.90",
            "1.50",
            "by fused_bytes 0 -> unlimited, workgroup_size 256 -> 64",
            "1 of 2 passes are faster",
            "after 7 tunings",
            "by 1.50",
            "1 were found before",
            "saved in tunings.json",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        assert!(
            text.lines().all(|line| line.chars().count() <= 80),
            "{text}"
        );
    }

    #[test]
    fn wrong_tunings_are_named_and_fail_the_run() {
        let report = report();
        assert_eq!(
            report.wrong(),
            ["WRONG: 8x64x56x56 channels-first training f32, by block 16 -> 8: y: 1 outside"]
        );
        assert_eq!(report.verdict(), Verdict::Wrong);
        let json = serde_json::to_value(&report).expect("plain data");
        assert_eq!(json["rows"][0]["changed"]["workgroup_size"][1], "64");
        assert_eq!(json["rows"][0]["default_copy_fraction"], 0.9 / 1.5);
        assert_eq!(json["rows"][1]["tuning"], serde_json::Value::Null);
        assert_eq!(json["rows"][1]["wrong"][0]["tuning"]["block"], 8);
    }
}
