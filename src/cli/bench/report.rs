//! Everything that a run has found, and the files that programs read it from.

use anyhow::Result;
use serde::Serialize;

use super::copy::Fastest;
use super::environment::Environment;
use super::record::{PointRecord, Record};
use super::row::Row;
use super::sweep::{Point, Sweep};
use crate::cli::Verdict;
use crate::cli::output;
use crate::cli::size::Sizes;

/// Everything that a run has found.
#[derive(Debug)]
pub struct Report {
    /// Where, when and how it was made.
    pub environment: Environment,
    /// The fastest copies, the largest size first.
    pub copies: Vec<Fastest>,
    /// The rows in the order of measuring.
    pub rows: Vec<Row>,
    /// The size sweep, where one was asked for.
    pub sweep: Option<Sweep>,
}

#[derive(Serialize)]
struct Json<'a> {
    #[serde(flatten)]
    environment: &'a Environment,
    copies: &'a [Fastest],
    rows: Vec<Record<'a, &'a Sizes>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    size_sweep: Option<SweepJson<'a>>,
}

#[derive(Serialize)]
struct SweepJson<'a> {
    /// Why it ended before the largest buffer; null where it did not.
    stopped: Option<&'a str>,
    points: Vec<PointRecord<'a>>,
}

impl Report {
    /// All of it as JSON.
    pub fn json(&self) -> Result<Vec<u8>> {
        let size_sweep = self.sweep.as_ref().map(|sweep| SweepJson {
            stopped: sweep.stopped.as_deref(),
            points: sweep.points.iter().map(PointRecord::new).collect(),
        });
        let json = Json {
            environment: &self.environment,
            copies: &self.copies,
            rows: self
                .rows
                .iter()
                .map(|row| Record::new(row, |sizes| sizes))
                .collect(),
            size_sweep,
        };
        output::json(&json)
    }

    /// The rows as comma-separated values, names first.
    pub fn csv(&self) -> Result<Vec<u8>> {
        let mut writer = csv::Writer::from_writer(Vec::new());
        for row in &self.rows {
            writer.serialize(Record::new(row, Sizes::to_string))?;
        }
        Ok(writer.into_inner()?)
    }

    /// One line for each row and each point of the sweep that is wrong.
    pub fn wrong(&self) -> Vec<String> {
        let row = |row: &Row| {
            let what = row.wrong.as_ref()?;
            Some(format!(
                "WRONG: {} {} {}: {what}",
                row.shape, row.layout, row.computation
            ))
        };
        let point = |point: &Point| {
            let what = point.wrong.as_ref()?;
            Some(format!(
                "WRONG: {} {} {}: {what}",
                point.shape,
                Sweep::LAYOUT,
                point.computation
            ))
        };
        let rows = self.rows.iter().filter_map(row);
        let points = self.sweep.iter().flat_map(|sweep| &sweep.points);
        rows.chain(points.filter_map(point)).collect()
    }

    /// Whether anything is wrong.
    pub fn verdict(&self) -> Verdict {
        if self.wrong().is_empty() {
            Verdict::Right
        } else {
            Verdict::Wrong
        }
    }

    /// Rows that are right.
    pub fn right(&self) -> usize {
        self.rows.iter().filter(|row| row.wrong.is_none()).count()
    }
}

#[cfg(test)]
pub(in crate::cli) mod tests {
    use super::super::clock::Clock;
    use super::super::computation::{Computation, Layer, Operation};
    use super::super::environment::{Adapter, DeviceClock, Host, VERSION, WGPU};
    use super::super::spread::Spread;
    use super::*;
    use crate::cli::size::Layout;

    pub fn spread(first_quartile: f64, median: f64, third_quartile: f64) -> Spread {
        Spread {
            first_quartile,
            median,
            third_quartile,
        }
    }

    /// An operation of a layer that only normalizes.
    pub fn plain(operation: Operation) -> Computation {
        Computation {
            operation,
            layer: Layer::default(),
        }
    }

    /// A row whose times are simple numbers.
    pub fn row(shape: &str, operation: Operation) -> Row {
        let shape: Sizes = shape.parse().expect("sizes");
        let bytes = 4 * shape.0.iter().product::<usize>() as u64;
        Row {
            group: "group",
            computation: plain(operation),
            layout: Layout::ChannelsFirst,
            shape,
            name: None,
            cpu: Some(spread(1.5, 2.0, 2.5)),
            textbook: Some(spread(19.0, 20.0, 22.0)),
            gpu: spread(0.9, 1.0, 1.1),
            copy: spread(0.5, 0.5, 0.5),
            end_to_end: spread(4.0, 5.0, 6.0),
            clock: Clock::Timestamps,
            rounds: 5,
            traffic: 3 * bytes,
            copied: 2 * bytes,
            max_error: 1e-7,
            wrong: None,
        }
    }

    pub fn point(bytes: u64, operation: Operation) -> Point {
        Point {
            bytes,
            computation: plain(operation),
            shape: Sizes(vec![1, 64, 16, 16]),
            cpu: Some(spread(1.0, 1.0, 1.0)),
            gpu: spread(0.1, 0.1, 0.1),
            copy: spread(0.01, 0.01, 0.01),
            clock: Clock::Wall,
            rounds: 3,
            max_error: 0.0,
            wrong: None,
        }
    }

    pub fn report() -> Report {
        Report {
            environment: Environment {
                version: VERSION,
                wgpu: WGPU,
                date: "2026-11-22T00:00:00Z".into(),
                command: "wgpu-batchnorm bench".into(),
                host: Host {
                    system: "linux x86_64".into(),
                    processor: "Processor".into(),
                    threads: 2,
                },
                adapter: Adapter {
                    name: "Adapter <1>".into(),
                    backend: "vulkan".into(),
                    driver: "driver & 2".into(),
                    software: true,
                },
                clock: DeviceClock {
                    source: Clock::Timestamps,
                    reason: None,
                },
                tuning: None,
                adapter_lines: "Adapter <1>".into(),
            },
            copies: Vec::new(),
            rows: vec![
                row("8x64x56x56", Operation::Inference),
                row("8x64x56x56", Operation::Training),
            ],
            sweep: None,
        }
    }

    #[test]
    fn files_have_the_documented_names() {
        let mut report = report();
        report.sweep = Some(Sweep {
            points: vec![point(65536, Operation::Training)],
            stopped: None,
        });
        let json: serde_json::Value =
            serde_json::from_slice(&report.json().expect("plain data")).expect("JSON");
        assert_eq!(json["adapter"]["name"], "Adapter <1>");
        assert_eq!(json["clock"]["source"], "timestamps");
        assert_eq!(json["rows"][0]["operation"], "inference");
        assert_eq!(json["rows"][0]["shape"], serde_json::json!([8, 64, 56, 56]));
        assert_eq!(json["rows"][1]["gpu_ms"], 1.0);
        assert_eq!(json["rows"][1]["gpu_ms_q3"], 1.1);
        assert_eq!(json["rows"][1]["copy_fraction"], 0.75);
        assert_eq!(json["size_sweep"]["points"][0]["bytes"], 65536);

        let csv = String::from_utf8(report.csv().expect("plain data")).expect("UTF-8");
        let lines: Vec<&str> = csv.lines().collect();
        assert_eq!(lines.len(), 3);
        assert!(lines[0].starts_with(
            "operation,layout,shape,name,element,activation,residual,cpu_ms,cpu_ms_q1"
        ));
        assert!(
            lines[2].starts_with("training,channels-first,8x64x56x56,,f32,none,false,2.0,1.5,2.5")
        );
    }

    #[test]
    fn what_is_wrong_is_named() {
        let mut report = report();
        assert!(report.wrong().is_empty());
        assert_eq!(report.verdict(), Verdict::Right);
        report.rows[1].wrong = Some("y: 1 outside".into());
        report.sweep = Some(Sweep {
            points: vec![Point {
                wrong: Some("y of sample 3: 2 outside".into()),
                ..point(65536, Operation::Training)
            }],
            stopped: None,
        });
        assert_eq!(
            report.wrong(),
            [
                "WRONG: 8x64x56x56 channels-first training f32: y: 1 outside",
                "WRONG: 1x64x16x16 channels-first training f32: y of sample 3: 2 outside"
            ]
        );
        assert_eq!(report.right(), 1);
        assert_eq!(report.verdict(), Verdict::Wrong);
        // A wrong point of the sweep is enough.
        report.rows[1].wrong = None;
        assert_eq!(report.verdict(), Verdict::Wrong);
    }
}
