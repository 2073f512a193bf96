//! The rows as a table for people and as JSON for programs.

use std::time::Duration;

use anyhow::Result;
use serde::Serialize;
use wgpu_batchnorm::wgpu;

use super::copy::Fastest;
use super::row::Row;
use super::workload::Operation;
use crate::cli::compare::Tolerance;
use crate::cli::output::{adapter_lines, digits, driver, lines, row, table};

/// Everything that a run has found.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    adapter: Adapter,
    copies: Vec<Fastest>,
    rows: Vec<Row>,
    #[serde(skip)]
    adapter_lines: String,
}

#[derive(Debug, Serialize)]
struct Adapter {
    name: String,
    backend: String,
    driver: String,
}

const LEGEND: &str = "\
CPU      milliseconds of this library's own processor path, on all cores
loop     of nested loops as in a textbook, on one core
GPU      from submission to completion, with the data on the device
I/O      the same with upload before and download after
GB/s     least traffic of the operation over GPU time: inference reads and
         writes the tensor once, training reads it twice
of copy  copy_fraction: those GB/s over the copy kernel's, timed in turn
x CPU    speed-up, CPU over GPU
error    largest |v - v64| / max(1, |v64|) of output and running statistics,
         where v64 is the f64 reference's value";

impl Report {
    /// Of these findings.
    pub fn new(info: &wgpu::AdapterInfo, copies: Vec<Fastest>, rows: Vec<Row>) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            adapter: Adapter {
                name: info.name.clone(),
                backend: info.backend.to_string(),
                driver: driver(info),
            },
            copies,
            rows,
            adapter_lines: adapter_lines(info),
        }
    }

    /// For programs.
    pub fn json(&self) -> Result<Vec<u8>> {
        let mut json = serde_json::to_vec_pretty(self)?;
        json.push(b'\n');
        Ok(json)
    }

    /// One line for each row that is wrong.
    pub fn wrong(&self) -> Vec<String> {
        let describe = |row: &Row| {
            row.wrong.as_ref().map(|what| {
                format!(
                    "WRONG: {} {} {}: {what}",
                    row.shape, row.layout, row.operation
                )
            })
        };
        self.rows.iter().filter_map(describe).collect()
    }

    /// For people, in 80 columns and wider.
    pub fn text(&self, elapsed: Duration) -> String {
        let right = self.rows.iter().filter(|row| row.wrong.is_none()).count();
        [
            format!("wgpu-batchnorm {} on {}", self.version, self.adapter_lines),
            self.copy_table(),
            LEGEND.to_owned(),
            self.row_table(),
            format!(
                "{right} of {} results are within {} of f64 ({} s)",
                self.rows.len(),
                Tolerance::PROMISE,
                digits(elapsed.as_secs_f64())
            ),
        ]
        .join("\n\n")
    }

    fn threads(&self) -> usize {
        self.rows.first().map_or(0, |row| row.threads)
    }

    fn row_table(&self) -> String {
        let header = [
            "shape", "", "CPU", "loop", "GPU", "I/O", "GB/s", "of copy", "x CPU", "error",
        ];
        let mut table = table(&header, 2);
        for measured in &self.rows {
            let operation = match measured.operation {
                Operation::Inference => "infer",
                Operation::Training => "train",
            };
            let error = format!(
                "{:.0e}{}",
                measured.max_error,
                if measured.wrong.is_some() { "!" } else { "" }
            );
            let cells = [
                measured.shape.to_string(),
                operation.to_owned(),
                digits(measured.cpu_ms),
                digits(measured.textbook_ms),
                digits(measured.gpu_ms),
                digits(measured.end_to_end_ms),
                digits(measured.gigabytes_per_second),
                format!("{:.2}", measured.copy_fraction),
                digits(measured.speed_up),
                error,
            ];
            table.add_row(row(cells, 2));
        }
        let mut rendered = lines(table).into_iter();
        let mut text: Vec<String> = rendered.next().into_iter().collect();
        let mut group = "";
        for (measured, line) in self.rows.iter().zip(rendered) {
            if measured.group != group {
                group = measured.group;
                text.extend([String::new(), format!("{group}:")]);
            }
            text.push(line);
        }
        text.join("\n")
    }

    fn copy_table(&self) -> String {
        let candidates = self.copies.iter().map(|fastest| fastest.candidates).min();
        let threads = self.threads();
        let all = format!("host x{threads}");
        let header = ["values", "geometry", "GB/s", "host x1", &all];
        let mut table = table(&header, 2);
        for fastest in &self.copies {
            let cells = [
                fastest.values.to_string(),
                fastest.geometry.to_string(),
                digits(fastest.gigabytes_per_second),
                digits(fastest.memcpy_one_core),
                digits(fastest.memcpy_all_cores),
            ];
            table.add_row(row(cells, 2));
        }
        format!(
            "The copy kernel by tensor size, in the fastest of at least {} geometries, beside\n\
             the host's memcpy on 1 and {threads} cores; GB/s count bytes read and bytes written\n\n{}",
            candidates.unwrap_or(0),
            lines(table).join("\n")
        )
    }
}
