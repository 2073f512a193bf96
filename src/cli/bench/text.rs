//! A report as text, in 80 columns and wider.

use std::fmt::Write;
use std::time::Duration;

use comfy_table::Table;
use wgpu_batchnorm::Element;

use super::clock::Clock;
use super::computation::Operation;
use super::expected::{FUSED, GRADIENTS};
use super::memory;
use super::report::Report;
use super::row::Row;
use super::spread::Spread;
use super::sweep::{Point, Sweep};
use crate::cli::compare::Tolerance;
use crate::cli::output::{digits, lines, room, row, table};
use crate::cli::tunings::Used;

impl Report {
    /// What the columns mean, and what there is to know about the times.
    pub fn legend(&self) -> String {
        let mut text = legend(self.environment.clock.source);
        if self.rows.iter().any(is_gradient) {
            text += LEGEND_OF_BACKWARD;
        }
        if self.has_halves() {
            text += LEGEND_OF_HALVES;
        }
        if let Some(fused) = self.fused() {
            let residual = if self.rows.iter().any(|row| row.computation.layer.residual) {
                "; GB/s count the\n         residual, so that `of copy` shows what it costs beyond its traffic"
            } else {
                ""
            };
            let _ = write!(text, "\nfused    {fused}: in the same dispatches{residual}");
        }
        text
    }

    /// What all layers of the run do beside normalizing.
    fn fused(&self) -> Option<String> {
        self.rows.first()?.computation.layer.fused()
    }

    fn has_halves(&self) -> bool {
        let mut rows = self.rows.iter();
        rows.any(|row| row.computation.layer.element != Element::F32)
    }

    /// What was checked, in words.
    pub fn checked(&self) -> String {
        let forward = if self.fused().is_some() {
            Tolerance::Sum {
                absolute: FUSED,
                relative: FUSED,
            }
        } else {
            Tolerance::PROMISE
        };
        let gradients = format!("{GRADIENTS:e} of the largest gradient of f64");
        let within = if self.rows.iter().all(is_gradient) {
            gradients
        } else if self.rows.iter().any(is_gradient) {
            format!("{forward} of f64,\ngradients within {gradients}")
        } else {
            format!("{forward} of f64")
        };
        let halves = if self.has_halves() {
            ",\nand the rounding of halves"
        } else {
            ""
        };
        format!(
            "{} of {} results are within {within}{halves}",
            self.right(),
            self.rows.len()
        )
    }
}

fn is_gradient(row: &Row) -> bool {
    row.computation.operation == Operation::Backward
}

const LEGEND_OF_BACKWARD: &str = "
back     the gradients of input, gamma and beta from that of the output, through
         the statistics that a forward pass saved: reads both tensors twice and
         writes one; error of each over the largest |v64| of it";
const LEGEND_OF_HALVES: &str = "
f16      and bf16: the error includes the rounding of what is stored, the copy
         moves the bytes of such a tensor. CPU and loop have no halves";

fn legend(clock: Clock) -> String {
    let gpu = match clock {
        Clock::Timestamps => "from the start of its work to the end, data on the device",
        Clock::Wall => "from submission to completion, with the data on the device",
    };
    format!(
        "\
CPU      milliseconds of this library's own processor path, on all cores
loop     of nested loops as in a textbook, on one core
GPU      {gpu}
+-       half of what lies between the quartiles, of the time before it
I/O      the same with upload before and download after, by wall time
GB/s     least traffic of the operation over GPU time: inference reads and
         writes the tensor once, training reads it twice (or once, where
         the plan keeps it on chip)
of copy  copy_fraction: those GB/s over the copy kernel's, timed in turn
x CPU    speed-up, CPU over GPU
error    largest |v - v64| / max(1, |v64|) of output and running statistics,
         where v64 is the f64 reference's value"
    )
}

/// A column of the table of rows.
struct Column {
    title: &'static str,
    /// Columns of higher rank need a wider terminal.
    rank: u8,
    cell: fn(&Row) -> String,
}

const fn column(title: &'static str, rank: u8, cell: fn(&Row) -> String) -> Column {
    Column { title, rank, cell }
}

const COLUMNS: [Column; 16] = [
    column("shape", 0, |row| row.shape.to_string()),
    column("", 0, |row| row.computation.short()),
    column("CPU", 0, |row| or_none(row.cpu, milliseconds)),
    column("+-", 3, |row| or_none(row.cpu, percent)),
    column("loop", 1, |row| or_none(row.textbook, milliseconds)),
    column("GPU", 0, |row| digits(row.gpu.median)),
    column("+-", 1, |row| percent(row.gpu)),
    column("I/O", 1, |row| digits(row.end_to_end.median)),
    column("+-", 3, |row| percent(row.end_to_end)),
    column("GB/s", 2, |row| digits(row.gigabytes_per_second())),
    column("copy", 4, |row| digits(row.copy.median)),
    column("+-", 4, |row| percent(row.copy)),
    column("of copy", 0, |row| format!("{:.2}", row.copy_fraction())),
    column("x CPU", 0, |row| or_none(row.speed_up(), digits)),
    column("error", 0, |row| {
        let mark = if row.wrong.is_some() { "!" } else { "" };
        format!("{:.0e}{mark}", row.max_error)
    }),
    column("rounds", 5, |row| row.rounds.to_string()),
];
const TEXT_COLUMNS: usize = 2;

fn milliseconds(spread: Spread) -> String {
    digits(spread.median)
}

/// A dash where there is no number.
pub fn or_none<T>(number: Option<T>, text: impl FnOnce(T) -> String) -> String {
    number.map_or_else(|| "-".to_owned(), text)
}

/// Half of what lies between the quartiles, of the median.
pub fn percent(spread: Spread) -> String {
    let percent = 100.0 * spread.relative();
    let decimals = usize::from(percent < 0.95);
    format!("{percent:.decimals$}%")
}

impl Report {
    /// For people.
    pub fn text(&self, elapsed: Duration) -> String {
        let environment = &self.environment;
        let mut parts = vec![
            format!(
                "wgpu-batchnorm {} on {}\n{}\n{}",
                environment.version,
                environment.adapter_lines,
                environment.describe_clock(),
                Used::describe(environment.tuning.as_ref())
            ),
            self.copy_table(),
            self.legend(),
            self.row_table(room()),
        ];
        parts.extend(self.other_clocks());
        parts.extend(self.sweep.as_ref().map(sweep_table));
        parts.push(format!(
            "{} ({} s)",
            self.checked(),
            digits(elapsed.as_secs_f64())
        ));
        parts.join("\n\n")
    }

    /// Which rows were timed otherwise than the others, where any were.
    pub fn other_clocks(&self) -> Option<String> {
        let usual = self.environment.clock.source;
        let names: Vec<String> = self
            .rows
            .iter()
            .filter(|row| row.clock != usual)
            .map(|row| format!("{} {}", row.shape, row.computation))
            .collect();
        (!names.is_empty()).then(|| {
            format!(
                "By wall time, as too many of their timestamps were impossible: {}",
                names.join(", ")
            )
        })
    }

    /// The widest table that there is room for.
    fn row_table(&self, room: usize) -> String {
        let ranks = COLUMNS.iter().map(|column| column.rank);
        let widest = ranks.max().unwrap_or(0);
        let tables = (0..=widest).rev().map(|rank| self.row_table_up_to(rank));
        let fits = |table: &Table| {
            let widths = table.column_max_content_widths();
            let content: usize = widths.iter().map(|&width| usize::from(width)).sum();
            content + widths.len() - 1 <= room
        };
        let mut tables = tables.peekable();
        let mut chosen = tables.next().expect("there is a rank");
        while !fits(&chosen)
            && let Some(narrower) = tables.next()
        {
            chosen = narrower;
        }
        let mut rendered = lines(chosen).into_iter();
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

    fn row_table_up_to(&self, rank: u8) -> Table {
        let columns: Vec<&Column> = COLUMNS
            .iter()
            .filter(|column| column.rank <= rank)
            .collect();
        let titles: Vec<&str> = columns.iter().map(|column| column.title).collect();
        let mut table = table(&titles, TEXT_COLUMNS);
        for measured in &self.rows {
            let cells = columns.iter().map(|column| (column.cell)(measured));
            table.add_row(row(cells, TEXT_COLUMNS));
        }
        table
    }

    fn copy_table(&self) -> String {
        let candidates = self.copies.iter().map(|fastest| fastest.candidates).min();
        let threads = self.environment.host.threads;
        let all = format!("host x{threads}");
        let header = ["bytes", "geometry", "GB/s", "host x1", &all];
        let mut table = table(&header, TEXT_COLUMNS);
        for fastest in &self.copies {
            let cells = [
                fastest.bytes.to_string(),
                fastest.geometry.to_string(),
                digits(fastest.gigabytes_per_second),
                digits(fastest.memcpy_one_core),
                digits(fastest.memcpy_all_cores),
            ];
            table.add_row(row(cells, TEXT_COLUMNS));
        }
        format!(
            "The copy kernel by tensor size, in the fastest of at least {} geometries, beside\n\
             the host's memcpy on 1 and {threads} cores; GB/s count bytes read and bytes written\n\n{}",
            candidates.unwrap_or(0),
            lines(table).join("\n")
        )
    }
}

fn sweep_table(sweep: &Sweep) -> String {
    let titles = [
        "tensor", "", "CPU", "+-", "GPU", "+-", "copy", "+-", "error",
    ];
    let mut table = table(&titles, TEXT_COLUMNS);
    for point in &sweep.points {
        let Point {
            bytes,
            computation,
            cpu,
            gpu,
            copy,
            ..
        } = point;
        let mark = if point.wrong.is_some() { "!" } else { "" };
        let mut cells = vec![memory::text(*bytes), computation.short()];
        for spread in [*cpu, Some(*gpu), Some(*copy)] {
            cells.extend([or_none(spread, milliseconds), or_none(spread, percent)]);
        }
        cells.push(format!("{:.0e}{mark}", point.max_error));
        table.add_row(row(cells, TEXT_COLUMNS));
    }
    let stopped = sweep.stopped.as_ref().map_or_else(
        || "the last\nsize is the largest buffer of the adapter".to_owned(),
        |why| format!("it ends here, as\n{why}"),
    );
    format!(
        "Milliseconds by tensor size, {} {}; {stopped}\n\n{}",
        Sweep::sizes(),
        Sweep::LAYOUT,
        lines(table).join("\n")
    )
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{point, report, spread};
    use super::*;

    #[test]
    fn the_table_is_as_wide_as_there_is_room() {
        let report = report();
        let header = |room| {
            let text = report.row_table(room);
            text.lines().next().map(str::to_owned).expect("a header")
        };
        let narrow = header(40);
        assert!(
            narrow.contains("of copy") && !narrow.contains("loop"),
            "{narrow}"
        );
        let usual = header(70);
        assert!(
            usual.contains("GB/s") && usual.matches("+-").count() == 1,
            "{usual}"
        );
        let wide = header(200);
        assert!(
            wide.contains("rounds") && wide.matches("+-").count() == 4,
            "{wide}"
        );
    }

    #[test]
    fn a_report_fits_80_columns() {
        let mut report = report();
        report.sweep = Some(Sweep {
            points: vec![point(1 << 31, Operation::Inference)],
            stopped: Some("tensors of 2 GiB would take it beyond 20 s".into()),
        });
        let text = report.text(Duration::from_secs(5));
        for part in [
            "2 of 2 results",
            "timestamp queries",
            "2 GiB",
            "it ends here",
        ] {
            assert!(text.contains(part), "{part} in {text}");
        }
        for line in text.lines() {
            assert!(line.chars().count() <= 80, "{line}");
        }
    }

    #[test]
    fn rows_by_another_clock_are_named() {
        let mut report = report();
        assert_eq!(report.other_clocks(), None);
        report.rows[1].clock = Clock::Wall;
        let note = report.other_clocks().expect("a note");
        assert!(note.contains("8x64x56x56 training f32"), "{note}");
    }

    #[test]
    fn a_spread_is_a_percentage() {
        assert_eq!(percent(spread(0.9, 1.0, 1.1)), "10%");
        assert_eq!(percent(spread(1.0, 1.0, 1.0)), "0.0%");
        assert_eq!(percent(spread(0.999, 1.0, 1.003)), "0.2%");
        assert_eq!(percent(spread(0.99, 1.0, 1.0092)), "1%");
    }
}
