//! An older run to compare with, from its JSON file.

use std::path::Path;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;
use wgpu_batchnorm::Activation;

use super::computation::{Computation, describe_fused};
use super::environment::{Adapter, Environment};
use super::report::Report;
use super::row::Row;
use super::spread::Spread;
use crate::cli::output::{digits, lines, row, table};

/// An older run: of its file, what is compared. Operations, layouts and elements are text, so that files of other
/// versions are read as well.
#[derive(Debug, Deserialize)]
pub struct Baseline {
    adapter: Adapter,
    version: Option<String>,
    date: Option<String>,
    clock: Option<OldClock>,
    host: Option<OldHost>,
    tuning: Option<OldTuning>,
    rows: Vec<OldRow>,
}

#[derive(Debug, Deserialize)]
struct OldClock {
    source: String,
}

#[derive(Debug, Deserialize)]
struct OldHost {
    processor: String,
    threads: usize,
}

#[derive(Debug, Deserialize)]
struct OldTuning {
    passes: usize,
}

#[derive(Clone, Debug, Deserialize)]
struct OldRow {
    operation: String,
    layout: String,
    shape: Vec<usize>,
    element: String,
    #[serde(default = "no_activation")]
    activation: String,
    #[serde(default)]
    residual: bool,
    gpu_ms: f64,
    gpu_ms_q1: Option<f64>,
    gpu_ms_q3: Option<f64>,
    cpu_ms: Option<f64>,
    end_to_end_ms: Option<f64>,
}

/// What files say that do not say it: they are older than activations.
fn no_activation() -> String {
    Activation::None.name().to_owned()
}

impl OldRow {
    fn matches(&self, row: &Row) -> bool {
        let Computation { operation, layer } = row.computation;
        self.operation == operation.to_string()
            && self.layout == row.layout.to_string()
            && self.shape == row.shape.0
            && self.element == layer.element.name()
            && self.activation == layer.activation.name()
            && self.residual == layer.residual
    }

    fn name(&self) -> String {
        let sizes: Vec<String> = self.shape.iter().map(usize::to_string).collect();
        let Self {
            operation,
            layout,
            element,
            activation,
            residual,
            ..
        } = self;
        let fused = describe_fused(*residual, activation);
        let fused = fused.map_or_else(String::new, |fused| format!(" ({fused})"));
        format!("{} {layout} {operation} {element}{fused}", sizes.join("x"))
    }
}

fn name(row: &Row) -> String {
    format!("{} {} {}", row.shape, row.layout, row.computation)
}

/// Whether the middle halves of two runs' times have something in common: then the difference may be chance.
fn overlap(old: &OldRow, new: Spread) -> Option<bool> {
    let (first, third) = (old.gpu_ms_q1?, old.gpu_ms_q3?);
    Some(first <= new.third_quartile && new.first_quartile <= third)
}

impl Baseline {
    /// Reads a file that `--json` wrote.
    pub fn read(path: &Path) -> Result<Self> {
        let name = || format!("cannot compare with {}", path.display());
        let bytes = std::fs::read(path).with_context(name)?;
        let baseline: Self = serde_json::from_slice(&bytes)
            .context("not the JSON of a run of this command")
            .with_context(name)?;
        for row in &baseline.rows {
            let times = [Some(row.gpu_ms), row.cpu_ms, row.end_to_end_ms];
            ensure!(
                times.into_iter().flatten().all(|time| time > 0.0),
                "{}: a time of {} is not above zero",
                name(),
                row.name()
            );
        }
        Ok(baseline)
    }

    /// What keeps the runs from being comparable.
    fn notes(&self, new: &Environment) -> Vec<String> {
        let mut notes = Vec::new();
        let mut note = |what: &str, old: Option<&str>, new: &str| {
            if let Some(old) = old
                && old != new
            {
                notes.push(format!("note: the {what} was {old}, and is {new}"));
            }
        };
        note("adapter", Some(&self.adapter.name), &new.adapter.name);
        note("backend", Some(&self.adapter.backend), &new.adapter.backend);
        note("driver", Some(&self.adapter.driver), &new.adapter.driver);
        note("version", self.version.as_deref(), new.version);
        let clock = self.clock.as_ref().map(|clock| clock.source.as_str());
        note("GPU's clock", clock, &new.clock.source.to_string());
        let processor = self.host.as_ref().map(|host| host.processor.as_str());
        note("processor", processor, &new.host.processor);
        let threads = self.host.as_ref().map(|host| host.threads.to_string());
        note(
            "number of threads",
            threads.as_deref(),
            &new.host.threads.to_string(),
        );
        let geometry = |passes: Option<usize>| match passes {
            Some(passes) => format!("that of {passes} tuned passes"),
            None => "the default".to_owned(),
        };
        // Files that say nothing of it are older than tuning.
        let [old, new] = [
            self.tuning.as_ref().map(|tuning| tuning.passes),
            new.tuning.as_ref().map(|tuning| tuning.passes),
        ]
        .map(geometry);
        note("geometry of the kernels", Some(&old), &new);
        notes
    }

    /// The new run beside this one, for people.
    pub fn compare(&self, report: &Report) -> String {
        let mut left: Vec<&OldRow> = self.rows.iter().collect();
        let mut new_only = Vec::new();
        let mut ratios = Vec::new();
        let titles = ["shape", "", "GPU old", "new", "new/old", "", "CPU", "I/O"];
        let mut table = table(&titles, 2);
        for new in &report.rows {
            let Some(place) = left.iter().position(|old| old.matches(new)) else {
                new_only.push(name(new));
                continue;
            };
            let old = left.remove(place);
            let ratio = new.gpu.median / old.gpu_ms;
            ratios.push(ratio);
            let chance = match overlap(old, new.gpu) {
                Some(true) => "~",
                _ => "",
            };
            let against = |new: Option<Spread>, old: Option<f64>| {
                let ratio = new.zip(old).map(|(new, old)| new.median / old);
                ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}"))
            };
            let cells = [
                new.shape.to_string(),
                new.computation.short(),
                digits(old.gpu_ms),
                digits(new.gpu.median),
                format!("{ratio:.2}"),
                chance.to_owned(),
                against(new.cpu, old.cpu_ms),
                against(Some(new.end_to_end), old.end_to_end_ms),
            ];
            table.add_row(row(cells, 2));
        }
        let when = self
            .date
            .as_ref()
            .map_or_else(String::new, |date| format!(" of {date}"));
        let mut text = vec![format!(
            "Against the run{when}: milliseconds of the GPU, and new time over old: below 1 is\n\
             faster now (~ where the quartiles overlap, and it may be chance)"
        )];
        text.extend(self.notes(&report.environment));
        if ratios.is_empty() {
            text.push("No row is in both runs.".to_owned());
        } else {
            text.push(String::new());
            text.extend(lines(table));
            text.push(String::new());
            text.push(format!(
                "rows in both runs: {}; GPU new/old: {:.2} in the geometric mean",
                ratios.len(),
                geometric_mean(&ratios)
            ));
        }
        let old_only: Vec<String> = left.into_iter().map(OldRow::name).collect();
        for (which, names) in [("old", old_only), ("new", new_only)] {
            text.extend(
                names
                    .into_iter()
                    .map(|name| format!("only in the {which} run: {name}")),
            );
        }
        text.join("\n")
    }
}

fn geometric_mean(ratios: &[f64]) -> f64 {
    (ratios.iter().map(|ratio| ratio.ln()).sum::<f64>() / ratios.len() as f64).exp()
}

#[cfg(test)]
mod tests {
    use super::super::computation::Operation;
    use super::super::report::tests::{report, row as new_row};
    use super::*;

    fn baseline(json: &[u8]) -> Baseline {
        serde_json::from_slice(json).expect("a report is a baseline")
    }

    #[test]
    fn a_run_compared_with_itself_is_as_fast() {
        let report = report();
        let text = baseline(&report.json().expect("plain data")).compare(&report);
        assert!(
            text.contains("rows in both runs: 2; GPU new/old: 1.00"),
            "{text}"
        );
        assert!(
            !text.contains("note:") && !text.contains("only in"),
            "{text}"
        );
        assert_eq!(text.matches('~').count(), 1 + 2, "{text}");
    }

    #[test]
    fn rows_are_matched_by_what_they_are() {
        let old = report();
        let mut new = report();
        new.rows.swap(0, 1);
        new.rows[0].gpu = new.rows[0].gpu.scaled(0.5);
        new.rows[1].shape = "8x64x56x57".parse().expect("sizes");
        new.rows.push(new_row("4x4", Operation::Training));
        let text = baseline(&old.json().expect("plain data")).compare(&new);
        assert!(
            text.contains("rows in both runs: 1; GPU new/old: 0.50"),
            "{text}"
        );
        for line in [
            "only in the old run: 8x64x56x56 channels-first inference f32",
            "only in the new run: 8x64x56x57 channels-first inference f32",
            "only in the new run: 4x4 channels-first training f32",
        ] {
            assert!(text.contains(line), "{line} in {text}");
        }
        // Half the time is no chance.
        assert_eq!(text.matches('~').count(), 1, "{text}");
    }

    #[test]
    fn another_adapter_driver_or_version_is_noted() {
        let old = report();
        let mut new = report();
        new.environment.adapter.name = "Other".into();
        new.environment.adapter.driver = "3".into();
        new.environment.version = "9.0.0";
        let text = baseline(&old.json().expect("plain data")).compare(&new);
        for note in [
            "note: the adapter was Adapter <1>, and is Other",
            "note: the driver was driver & 2, and is 3",
            "and is 9.0.0",
        ] {
            assert!(text.contains(note), "{note} in {text}");
        }
        assert_eq!(text.matches("note:").count(), 3);
    }

    #[test]
    fn files_of_the_first_version_are_read() {
        let old = br#"{"version": "0.1.0", "adapter": {"name": "a", "backend": "b", "driver": "c"}, "rows": [
            {"operation": "backward", "layout": "channels-last", "shape": [2, 3], "element": "f16", "gpu_ms": 1.0}]}"#;
        let text = baseline(old).compare(&report());
        assert!(
            text.contains("only in the old run: 2x3 channels-last backward f16"),
            "{text}"
        );
        assert!(text.contains("No row is in both runs"), "{text}");
    }

    #[test]
    fn what_is_no_run_is_an_error_that_names_the_file() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("old.json");
        let error = |text: &str| {
            std::fs::write(&path, text).expect("writable");
            format!("{:#}", Baseline::read(&path).expect_err("not a run"))
        };
        for text in ["", "{}", "[1]", "{\"rows\": []}"] {
            assert!(error(text).contains("old.json: not the JSON"), "{text}");
        }
        let zero = r#"{"adapter": {"name": "a", "backend": "b", "driver": "c"}, "rows": [
            {"operation": "training", "layout": "x", "shape": [2, 3], "element": "f32", "gpu_ms": 0}]}"#;
        assert!(error(zero).contains("2x3 x training f32 is not above zero"));
        let absent = Baseline::read(&folder.path().join("none.json"));
        assert!(absent.is_err_and(|error| format!("{error:#}").contains("none.json")));
    }
}
