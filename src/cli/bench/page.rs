//! A report as one HTML page that needs nothing else: no script, no font, no picture, nothing from any server.

use maud::{DOCTYPE, Markup, PreEscaped, html};
use wgpu_batchnorm::Element;

use super::chart::{self, ChartRow, Curve, Mark, Series};
use super::computation::{Computation, Operation};
use super::memory;
use super::report::Report;
use super::row::Row;
use super::spread::Spread;
use super::sweep::{Point, Sweep};
use super::text::or_none;
use crate::cli::output::digits;
use crate::cli::tunings::Used;

const STYLE: &str = include_str!("page.css");

impl Report {
    /// The page.
    pub fn html(&self) -> String {
        let adapter = &self.environment.adapter;
        let title = format!("wgpu-batchnorm on {}", adapter.name);
        html! {
            (DOCTYPE)
            html lang="en" {
                head {
                    meta charset="utf-8";
                    meta name="viewport" content="width=device-width, initial-scale=1";
                    meta name="color-scheme" content="light dark";
                    meta name="generator" content={ "wgpu-batchnorm " (self.environment.version) };
                    title { (title) }
                    style { (PreEscaped(STYLE)) }
                }
                body {
                    (self.header(&title))
                    @for operation in self.operations() { (self.charts(operation)) }
                    @if let Some(sweep) = &self.sweep { (sweep_section(sweep)) }
                    (self.row_section())
                    (self.copy_section())
                    section {
                        h2 { "What the numbers are" }
                        pre { (self.legend()) }
                    }
                }
            }
        }
        .into_string()
    }

    /// The operations that were measured, in order.
    fn operations(&self) -> Vec<Operation> {
        let mut operations = Vec::new();
        for row in &self.rows {
            if !operations.contains(&row.computation.operation) {
                operations.push(row.computation.operation);
            }
        }
        operations
    }

    fn header(&self, title: &str) -> Markup {
        let environment = &self.environment;
        let (adapter, host) = (&environment.adapter, &environment.host);
        let wrong = self.wrong();
        html! {
            header {
                h1 { (title) }
                p {
                    "Batch normalization on the GPU, against this library's own path on the processor and against a "
                    "plain copy of the same tensor. "
                    (self.checked()) "."
                }
                @for line in &wrong { p.wrong { (line) } }
                @if adapter.software {
                    p.muted { "This is a software adapter: it runs on the processor. Its speed says nothing about a GPU." }
                }
                dl {
                    dt { "Adapter" } dd { (adapter.name) ", " (adapter.backend) }
                    dt { "Driver" } dd { (adapter.driver) }
                    dt { "Host" } dd { (host.processor) ", " (host.threads) " threads, " (host.system) }
                    dt { "Versions" } dd { "wgpu-batchnorm " (environment.version) ", wgpu " (environment.wgpu) }
                    dt { "Times" } dd {
                        "medians; " (environment.describe_clock())
                        @if let Some(others) = self.other_clocks() { ". " (others) }
                    }
                    dt { "Geometry" } dd { (Used::describe(environment.tuning.as_ref())) }
                    dt { "Date" } dd { (environment.date) }
                    dt { "Command" } dd { code { (environment.command) } }
                }
            }
        }
    }

    fn charts(&self, operation: Operation) -> Markup {
        let rows = || {
            self.rows
                .iter()
                .filter(|row| row.computation.operation == operation)
        };
        let times: Vec<_> = rows().map(time_row).collect();
        let fractions: Vec<_> = rows().map(fraction_row).collect();
        let name = operation.to_string();
        html! {
            section {
                h2 { (capitalized(&name)) }
                div.charts {
                    figure {
                        h3 { "Time per shape" }
                        figcaption.muted {
                            span.key { (key(Series::Cpu, None)) "CPU" }
                            span.key { (key(Series::Gpu, None)) "GPU" }
                            "Left is faster; a band spans the quartiles."
                        }
                        (chart::times(&format!("Time per shape, {name}"), &times))
                    }
                    figure {
                        h3 { "Fraction of copy bandwidth" }
                        figcaption.muted {
                            "Least traffic over GPU time, as a part of what the copy kernel moves. "
                            "At 1 it is as fast as that copy."
                        }
                        (chart::fractions(&format!("Fraction of copy bandwidth, {name}"), &fractions))
                    }
                }
            }
        }
    }

    fn row_section(&self) -> Markup {
        let titles = [
            "CPU ms", "loop ms", "GPU ms", "copy ms", "I/O ms", "GB/s", "of copy", "x CPU", "error",
        ];
        let mut group = "";
        let groups: Vec<Option<&str>> = self
            .rows
            .iter()
            .map(|row| {
                let heading = (row.group != group).then_some(row.group);
                group = row.group;
                heading
            })
            .collect();
        html! {
            section {
                h2 { "All numbers" }
                p.muted { "Medians, with their quartiles below." }
                div.wide {
                    table {
                        thead { tr {
                            th { "shape" } th.text { "operation" } th.text { "element" }
                            @for title in titles { th { (title) } }
                        } }
                        tbody {
                            @for (row, heading) in self.rows.iter().zip(groups) {
                                @if let Some(heading) = heading {
                                    tr.group { td colspan="12" { span { (heading) } } }
                                }
                                (row_cells(row))
                            }
                        }
                    }
                }
            }
        }
    }

    fn copy_section(&self) -> Markup {
        let threads = self.environment.host.threads;
        html! {
            section {
                h2 { "The copy kernel" }
                p.muted {
                    "The fastest geometry by tensor size, beside the host's memcpy. GB/s count bytes read and bytes written."
                }
                details {
                    summary { (self.copies.len()) " sizes" }
                    div.wide {
                        table {
                            thead { tr {
                                th { "tensor" } th.text { "geometry" } th { "GB/s" } th { "host, 1 core" }
                                th { "host, " (threads) " cores" }
                            } }
                            tbody {
                                @for copy in &self.copies {
                                    tr {
                                        td { (memory::text(copy.bytes)) } td.text { (copy.geometry) }
                                        td { (digits(copy.gigabytes_per_second)) }
                                        td { (digits(copy.memcpy_one_core)) }
                                        td { (digits(copy.memcpy_all_cores)) }
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn capitalized(text: &str) -> String {
    let mut letters = text.chars();
    let first = letters.next().into_iter().flat_map(char::to_uppercase);
    first.chain(letters).collect()
}

fn label(row: &Row) -> String {
    row.computation.with_element(&row.shape.to_string())
}

fn time_row(row: &Row) -> ChartRow<Vec<Mark>> {
    let mark = |series, spread: Spread| Mark {
        series,
        values: [spread.first_quartile, spread.median, spread.third_quartile],
    };
    ChartRow {
        group: row.group.to_owned(),
        label: label(row),
        note: match row.cpu {
            Some(cpu) => format!(
                "CPU {}, GPU {} ms",
                digits(cpu.median),
                digits(row.gpu.median)
            ),
            None => format!("GPU {} ms", digits(row.gpu.median)),
        },
        data: [
            Some(mark(Series::Gpu, row.gpu)),
            row.cpu.map(|cpu| mark(Series::Cpu, cpu)),
        ]
        .into_iter()
        .flatten()
        .collect(),
    }
}

fn fraction_row(row: &Row) -> ChartRow<f64> {
    ChartRow {
        group: row.group.to_owned(),
        label: label(row),
        note: format!("{:.2}", row.copy_fraction()),
        data: row.copy_fraction(),
    }
}

/// What stands for a series in the text: its dot, or its line.
fn key(series: Series, dash: Option<usize>) -> Markup {
    let class = series.class();
    html! {
        svg width="26" height="12" aria-hidden="true" {
            @match dash {
                None => circle.(class) cx="13" cy="6" r="4.5" {},
                Some(dash) => g.curve.(class).{ "dash" (dash) } { line x1="0" x2="26" y1="6" y2="6" {} },
            }
        }
    }
}

fn spread_cell(spread: Option<Spread>) -> Markup {
    html! {
        td {
            (or_none(spread, |spread| digits(spread.median)))
            @if let Some(spread) = spread {
                small { (digits(spread.first_quartile)) "–" (digits(spread.third_quartile)) }
            }
        }
    }
}

fn error_cell(error: f64, is_wrong: bool) -> Markup {
    html! { td.wrong[is_wrong] { (format!("{error:.0e}")) } }
}

fn row_cells(row: &Row) -> Markup {
    html! {
        tr {
            td { (row.shape) } td.text { (row.computation.operation) } td.text { (row.computation.layer.element.name()) }
            @for spread in [row.cpu, row.textbook, Some(row.gpu), Some(row.copy), Some(row.end_to_end)] {
                (spread_cell(spread))
            }
            td { (digits(row.gigabytes_per_second())) }
            td { (format!("{:.2}", row.copy_fraction())) }
            td { (or_none(row.speed_up(), digits)) }
            (error_cell(row.max_error, row.wrong.is_some()))
        }
    }
}

fn sweep_section(sweep: &Sweep) -> Markup {
    let curves = sweep_curves(sweep);
    html! {
        section {
            h2 { "Time against tensor size" }
            p.muted {
                (Sweep::sizes()) " " (Sweep::LAYOUT) ". "
                @match &sweep.stopped {
                    Some(why) => { "It ends where it does, as " (why) "." },
                    None => "The last size is the largest buffer of the adapter.",
                }
            }
            @if !sweep.points.is_empty() {
                figure {
                    figcaption.muted {
                        @for curve in &curves {
                            span.key { (key(curve.series, Some(curve.dash))) (curve.name) }
                        }
                    }
                    (chart::curves("Time against tensor size", &curves, |bytes| memory::text(bytes.round() as u64)))
                }
                details {
                    summary { (sweep.points.len()) " measurements" }
                    div.wide {
                        table {
                            thead { tr {
                                th { "tensor" } th.text { "shape" } th.text { "operation" }
                                th { "CPU ms" } th { "GPU ms" } th { "copy ms" } th { "error" }
                            } }
                            tbody {
                                @for point in &sweep.points {
                                    tr {
                                        td { (memory::text(point.bytes)) } td.text { (point.shape) }
                                        td.text { (point.computation) }
                                        @for spread in [point.cpu, Some(point.gpu), Some(point.copy)] {
                                            (spread_cell(spread))
                                        }
                                        (error_cell(point.max_error, point.wrong.is_some()))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        }
    }
}

/// Two curves for each computation, one for halves; and the copy's of each size, which is the same for all.
fn sweep_curves(sweep: &Sweep) -> Vec<Curve> {
    let mut computations: Vec<Computation> = Vec::new();
    for point in &sweep.points {
        if !computations.contains(&point.computation) {
            computations.push(point.computation);
        }
    }
    let curve = |series, dash, name: String, time: &dyn Fn(&Point) -> Option<f64>| Curve {
        series,
        dash,
        name,
        points: sweep
            .points
            .iter()
            .filter_map(|point| Some((point.bytes as f64, time(point)?)))
            .collect(),
    };
    let mut curves = Vec::new();
    for (dash, &computation) in computations.iter().enumerate() {
        let is = |point: &Point| point.computation == computation;
        let name = computation.with_element(&computation.operation.to_string());
        let cpu = |point: &Point| point.cpu.filter(|_| is(point)).map(|cpu| cpu.median);
        let gpu = |point: &Point| is(point).then_some(point.gpu.median);
        if computation.layer.element == Element::F32 {
            curves.push(curve(Series::Cpu, dash, format!("CPU, {name}"), &cpu));
        }
        curves.push(curve(Series::Gpu, dash, format!("GPU, {name}"), &gpu));
    }
    if let Some(&first) = computations.first() {
        let copy = |point: &Point| (point.computation == first).then_some(point.copy.median);
        curves.push(curve(Series::Copy, 0, "GPU, copy".to_owned(), &copy));
    }
    curves
}

#[cfg(test)]
mod tests {
    use super::super::report::tests::{point, report};
    use super::*;

    fn whole_report() -> Report {
        let mut report = report();
        report.sweep = Some(Sweep {
            points: [1 << 16, 1 << 20, 1 << 24]
                .into_iter()
                .flat_map(|bytes| {
                    [Operation::Inference, Operation::Training]
                        .map(|operation| point(bytes, operation))
                })
                .collect(),
            stopped: Some("memory <ran> out".into()),
        });
        report
    }

    #[test]
    fn the_page_loads_nothing() {
        let page = whole_report().html();
        for loads in [
            "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link", "<iframe",
            "<img",
        ] {
            assert!(!page.contains(loads), "{loads}");
        }
        assert!(page.starts_with("<!DOCTYPE html>"));
    }

    #[test]
    fn the_page_names_the_run() {
        let page = whole_report().html();
        for part in [
            "Adapter &lt;1&gt;",
            "driver &amp; 2",
            "2026-11-22T00:00:00Z",
            "wgpu-batchnorm bench",
            "wgpu 30",
            "2 of 2 results",
            "memory &lt;ran&gt; out",
            "prefers-color-scheme: dark",
            "width=device-width",
            "Training",
        ] {
            assert!(page.contains(part), "{part}");
        }
    }

    #[test]
    fn every_row_and_size_is_drawn() {
        let page = whole_report().html();
        // A dot for CPU and GPU of both rows and in both keys; three sizes of five curves.
        assert_eq!(page.matches("<circle").count(), 2 * (2 + 2) + 3 * 5);
        assert_eq!(page.matches("class=\"bar gpu\"").count(), 2);
        assert_eq!(page.matches("<svg").count(), page.matches("</svg>").count());
        assert!(!page.contains("NaN") && !page.contains("inf%"));
    }

    #[test]
    fn what_is_wrong_stands_out() {
        let mut report = whole_report();
        assert!(!report.html().contains("class=\"wrong\""));
        report.rows[0].wrong = Some("y: 1 outside".into());
        report.rows[0].max_error = f64::INFINITY;
        let page = report.html();
        assert!(page.contains("WRONG: 8x64x56x56") && page.contains("class=\"wrong\""));
    }
}
