//! Rows as files have them: flat, under the names that the README gives. Times are in milliseconds; `_q1` and `_q3` are
//! the quartiles of the median before them.

use serde::Serialize;

use super::clock::Clock;
use super::computation::Operation;
use super::row::Row;
use super::spread::Spread;
use super::sweep::{Point, Sweep};
use crate::cli::size::{Layout, Sizes};

const fn median(spread: Spread) -> f64 {
    spread.median
}

const fn first_quartile(spread: Spread) -> f64 {
    spread.first_quartile
}

const fn third_quartile(spread: Spread) -> f64 {
    spread.third_quartile
}

/// A row. `S` is what its sizes are written as.
#[derive(Debug, Serialize)]
pub struct Record<'a, S> {
    operation: Operation,
    layout: Layout,
    shape: S,
    name: Option<&'a str>,
    element: &'static str,
    activation: &'static str,
    residual: bool,
    cpu_ms: Option<f64>,
    cpu_ms_q1: Option<f64>,
    cpu_ms_q3: Option<f64>,
    textbook_ms: Option<f64>,
    textbook_ms_q1: Option<f64>,
    textbook_ms_q3: Option<f64>,
    gpu_ms: f64,
    gpu_ms_q1: f64,
    gpu_ms_q3: f64,
    end_to_end_ms: f64,
    end_to_end_ms_q1: f64,
    end_to_end_ms_q3: f64,
    copy_ms: f64,
    copy_ms_q1: f64,
    copy_ms_q3: f64,
    clock: Clock,
    rounds: usize,
    gigabytes_per_second: f64,
    copy_gigabytes_per_second: f64,
    copy_fraction: f64,
    speed_up: Option<f64>,
    max_error: f64,
    wrong: Option<&'a str>,
}

impl<'a, S> Record<'a, S> {
    /// Of a row whose sizes are written so.
    pub fn new(row: &'a Row, shape: impl FnOnce(&'a Sizes) -> S) -> Self {
        Self {
            operation: row.computation.operation,
            layout: row.layout,
            shape: shape(&row.shape),
            name: row.name,
            element: row.computation.layer.element.name(),
            activation: row.computation.layer.activation.name(),
            residual: row.computation.layer.residual,
            cpu_ms: row.cpu.map(median),
            cpu_ms_q1: row.cpu.map(first_quartile),
            cpu_ms_q3: row.cpu.map(third_quartile),
            textbook_ms: row.textbook.map(median),
            textbook_ms_q1: row.textbook.map(first_quartile),
            textbook_ms_q3: row.textbook.map(third_quartile),
            gpu_ms: row.gpu.median,
            gpu_ms_q1: row.gpu.first_quartile,
            gpu_ms_q3: row.gpu.third_quartile,
            end_to_end_ms: row.end_to_end.median,
            end_to_end_ms_q1: row.end_to_end.first_quartile,
            end_to_end_ms_q3: row.end_to_end.third_quartile,
            copy_ms: row.copy.median,
            copy_ms_q1: row.copy.first_quartile,
            copy_ms_q3: row.copy.third_quartile,
            clock: row.clock,
            rounds: row.rounds,
            gigabytes_per_second: row.gigabytes_per_second(),
            copy_gigabytes_per_second: row.copy_gigabytes_per_second(),
            copy_fraction: row.copy_fraction(),
            speed_up: row.speed_up(),
            max_error: row.max_error,
            wrong: row.wrong.as_deref(),
        }
    }
}

/// A point of the size sweep.
#[derive(Debug, Serialize)]
pub struct PointRecord<'a> {
    bytes: u64,
    operation: Operation,
    layout: Layout,
    shape: &'a Sizes,
    element: &'static str,
    activation: &'static str,
    residual: bool,
    cpu_ms: Option<f64>,
    cpu_ms_q1: Option<f64>,
    cpu_ms_q3: Option<f64>,
    gpu_ms: f64,
    gpu_ms_q1: f64,
    gpu_ms_q3: f64,
    copy_ms: f64,
    copy_ms_q1: f64,
    copy_ms_q3: f64,
    clock: Clock,
    rounds: usize,
    max_error: f64,
    wrong: Option<&'a str>,
}

impl<'a> PointRecord<'a> {
    /// Of a point.
    pub fn new(point: &'a Point) -> Self {
        Self {
            bytes: point.bytes,
            operation: point.computation.operation,
            layout: Sweep::LAYOUT,
            shape: &point.shape,
            element: point.computation.layer.element.name(),
            activation: point.computation.layer.activation.name(),
            residual: point.computation.layer.residual,
            cpu_ms: point.cpu.map(median),
            cpu_ms_q1: point.cpu.map(first_quartile),
            cpu_ms_q3: point.cpu.map(third_quartile),
            gpu_ms: point.gpu.median,
            gpu_ms_q1: point.gpu.first_quartile,
            gpu_ms_q3: point.gpu.third_quartile,
            copy_ms: point.copy.median,
            copy_ms_q1: point.copy.first_quartile,
            copy_ms_q3: point.copy.third_quartile,
            clock: point.clock,
            rounds: point.rounds,
            max_error: point.max_error,
            wrong: point.wrong.as_deref(),
        }
    }
}
