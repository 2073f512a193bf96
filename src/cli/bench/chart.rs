//! Charts as SVG that takes its colours and its width from the page around it: horizontal places are percentages, so that
//! a chart is as wide as its column and its letters keep their size.

use maud::{Markup, html};

/// Pixels of a row of a chart: its label, and the marks below.
const ROW: usize = 36;
/// Pixels of the heading of a group.
const HEADING: usize = 28;
/// Pixels of the tick labels above and below.
const AXIS: usize = 20;
/// Percent of the width on each side, so that marks at the ends are whole.
const MARGIN: f64 = 2.0;

/// What a mark stands for: the name of its CSS class.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Series {
    /// The processor.
    Cpu,
    /// The device.
    Gpu,
    /// The copy kernel.
    Copy,
}

impl Series {
    /// Its CSS class.
    pub const fn class(self) -> &'static str {
        match self {
            Self::Cpu => "cpu",
            Self::Gpu => "gpu",
            Self::Copy => "copy",
        }
    }
}

/// A place between the margins, as SVG has it.
fn percent(share: f64) -> String {
    let place = MARGIN + (100.0 - 2.0 * MARGIN) * share.clamp(0.0, 1.0);
    format!("{place:.2}%")
}

/// A label stays within the chart.
fn anchor(share: f64) -> &'static str {
    if share < 0.08 {
        "start"
    } else if share > 0.92 {
        "end"
    } else {
        "middle"
    }
}

/// A logarithmic axis.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LogAxis {
    low: f64,
    high: f64,
}

impl LogAxis {
    /// From the power of ten below all values to the one above.
    pub fn decades(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values);
        let mut axis = Self {
            low: low.log10().floor(),
            high: high.log10().ceil(),
        };
        if axis.low >= axis.high {
            axis.high = axis.low + 1.0;
        }
        axis
    }

    /// From the smallest value to the largest.
    pub fn spanning(values: impl IntoIterator<Item = f64>) -> Self {
        let (low, high) = extent(values);
        let (low, mut high) = (low.log10(), high.log10());
        if low >= high {
            high = low + 1.0;
        }
        Self { low, high }
    }

    fn share(self, value: f64) -> f64 {
        (value.max(f64::MIN_POSITIVE).log10() - self.low) / (self.high - self.low)
    }

    /// The powers of ten of the axis, and their places.
    fn tens(self) -> impl Iterator<Item = (f64, f64)> {
        (self.low.ceil() as i32..=self.high.floor() as i32).map(move |exponent| {
            let value = 10f64.powi(exponent);
            (value, self.share(value))
        })
    }
}

/// The smallest and the largest value that a logarithm has; of none, one to ten.
fn extent(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values
        .into_iter()
        .filter(|value| value.is_finite() && *value > 0.0)
        .fold((f64::INFINITY, 0.0f64), |(low, high), value| {
            (low.min(value), high.max(value))
        });
    if low <= high {
        (low, high)
    } else {
        (1.0, 10.0)
    }
}

/// Milliseconds as a tick has them.
fn milliseconds(value: f64) -> String {
    if value < 0.9e-3 {
        format!("{} ns", (1e6 * value).round())
    } else if value < 0.9 {
        format!("{} µs", (1e3 * value).round())
    } else if value < 0.9e3 {
        format!("{} ms", value.round())
    } else {
        format!("{} s", (1e-3 * value).round())
    }
}

/// A time of one series: where it is, and where its quartiles are.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    /// What it stands for.
    pub series: Series,
    /// First quartile, median and third quartile, in milliseconds.
    pub values: [f64; 3],
}

/// A row of a chart.
#[derive(Clone, Debug)]
pub struct ChartRow<T> {
    /// What the row belongs to: a heading where it changes.
    pub group: String,
    /// On the left.
    pub label: String,
    /// On the right.
    pub note: String,
    /// What is drawn.
    pub data: T,
}

/// Where each row begins, whether a heading is above it, and the height of all.
fn places<T>(rows: &[ChartRow<T>]) -> (Vec<(usize, bool)>, usize) {
    let mut y = AXIS;
    let mut group: Option<&str> = None;
    let mut places = Vec::with_capacity(rows.len());
    for row in rows {
        let heading = group != Some(&row.group);
        group = Some(&row.group);
        y += if heading { HEADING } else { 0 };
        places.push((y, heading));
        y += ROW;
    }
    (places, y + AXIS)
}

fn labels<T>(row: &ChartRow<T>, (y, heading): (usize, bool)) -> Markup {
    html! {
        @if heading { text.heading x="0" y=(y - 8) { (row.group) } }
        text x="0" y=(y + 14) { (row.label) }
        text.note x="100%" y=(y + 14) text-anchor="end" { (row.note) }
    }
}

/// Vertical lines, named above and below.
fn columns(height: usize, ticks: impl IntoIterator<Item = (String, f64)>) -> Markup {
    html! {
        @for (name, share) in ticks {
            line.grid x1=(percent(share)) x2=(percent(share)) y1=(AXIS) y2=(height - AXIS) {}
            @for y in [AXIS - 7, height - 6] {
                text.tick x=(percent(share)) y=(y) text-anchor=(anchor(share)) { (name) }
            }
        }
    }
}

/// Times on a logarithmic axis: a dot for each median, a bar for what lies between the quartiles.
pub fn times(title: &str, rows: &[ChartRow<Vec<Mark>>]) -> Markup {
    let marks = rows.iter().flat_map(|row| &row.data);
    let axis = LogAxis::decades(marks.flat_map(|mark| mark.values));
    let (places, height) = places(rows);
    html! {
        svg width="100%" height=(height) role="img" aria-label=(title) {
            (columns(height, axis.tens().map(|(value, share)| (milliseconds(value), share))))
            @for (row, place) in rows.iter().zip(places) {
                (labels(row, place))
                @let y = place.0 + 25;
                @let medians: Vec<f64> = row.data.iter().map(|mark| mark.values[1]).collect();
                @let (low, high) = extent(medians);
                line.between x1=(percent(axis.share(low))) x2=(percent(axis.share(high))) y1=(y) y2=(y) {}
                @for mark in &row.data {
                    @let [low, median, high] = mark.values.map(|value| percent(axis.share(value)));
                    line.quartiles.(mark.series.class()) x1=(low) x2=(high) y1=(y) y2=(y) {}
                    circle.(mark.series.class()) cx=(median) cy=(y) r="4.5" {}
                }
            }
        }
    }
}

/// The ticks of a linear axis from 0 on: at most seven, the last at or above `most`.
fn linear_ticks(most: f64) -> Vec<f64> {
    let mut step = 0.25;
    let mut factors = [2.0, 2.0, 2.5].into_iter().cycle();
    while most > 6.0 * step {
        step *= factors.next().expect("a cycle has no end");
    }
    let count = (most / step).ceil().max(4.0) as u32;
    (0..=count).map(|tick| f64::from(tick) * step).collect()
}

/// Fractions as bars from 0, with a line at 1.
pub fn fractions(title: &str, rows: &[ChartRow<f64>]) -> Markup {
    let most = rows
        .iter()
        .map(|row| row.data)
        .filter(|fraction| fraction.is_finite())
        // The line at 1 stands free of what is on the right.
        .fold(1.1, f64::max);
    let ticks = linear_ticks(most);
    let top = ticks.last().copied().unwrap_or(1.0);
    let share = |value: f64| value / top;
    let (places, height) = places(rows);
    html! {
        svg width="100%" height=(height) role="img" aria-label=(title) {
            (columns(height, ticks.iter().map(|&tick| (format!("{tick}"), share(tick)))))
            @for (row, place) in rows.iter().zip(&places) {
                @let y = place.0 + 25;
                line.bar.gpu x1=(percent(0.0)) x2=(percent(share(row.data))) y1=(y) y2=(y) {}
            }
            line.one x1=(percent(share(1.0))) x2=(percent(share(1.0))) y1=(AXIS) y2=(height - AXIS) {}
            @for (row, &place) in rows.iter().zip(&places) { (labels(row, place)) }
        }
    }
}

/// A line through points of bytes and milliseconds.
#[derive(Clone, Debug)]
pub struct Curve {
    /// What it stands for.
    pub series: Series,
    /// Solid (0), dashed (1) and so on, where a series has several.
    pub dash: usize,
    /// What it is called.
    pub name: String,
    /// Bytes and milliseconds, by bytes.
    pub points: Vec<(f64, f64)>,
}

/// Pixels of the height of a chart of curves, and of what is above and below its lines.
const CURVES: usize = 400;
const ABOVE: usize = 18;
const BELOW: usize = 24;
/// Pixels of the width of the scale beside them.
const SCALE: usize = 56;

/// Times against sizes on two logarithmic axes.
pub fn curves(title: &str, curves: &[Curve], size: impl Fn(f64) -> String) -> Markup {
    let points = || curves.iter().flat_map(|curve| &curve.points);
    let across = LogAxis::spanning(points().map(|point| point.0));
    let up = LogAxis::decades(points().map(|point| point.1));
    let y = |milliseconds: f64| {
        let room = (CURVES - ABOVE - BELOW) as f64;
        format!(
            "{:.1}",
            ABOVE as f64 + room * (1.0 - up.share(milliseconds))
        )
    };
    let first = 10f64.powf(across.low);
    let sizes = std::iter::successors(Some(first), |size| Some(16.0 * size));
    let sizes = sizes.take_while(|&size| across.share(size) < 1.0 + 1e-6);
    html! {
        div.plot {
            svg width=(SCALE) height=(CURVES) aria-hidden="true" {
                @for (value, _) in up.tens() {
                    text.tick x=(SCALE - 4) y=(y(value)) dy="4" text-anchor="end" { (milliseconds(value)) }
                }
            }
            svg width="100%" height=(CURVES) role="img" aria-label=(title) {
                @for (value, _) in up.tens() {
                    line.grid x1="0" x2="100%" y1=(y(value)) y2=(y(value)) {}
                }
                @for bytes in sizes {
                    @let share = across.share(bytes);
                    @let x = percent(share);
                    line.grid x1=(x) x2=(x) y1=(ABOVE) y2=(CURVES - BELOW) {}
                    text.tick x=(x) y=(CURVES - 6) text-anchor=(anchor(share)) { (size(bytes)) }
                }
                @for curve in curves {
                    g.curve.(curve.series.class()).{ "dash" (curve.dash) } {
                        title { (curve.name) }
                        @for pair in curve.points.windows(2) {
                            line x1=(percent(across.share(pair[0].0))) y1=(y(pair[0].1))
                                x2=(percent(across.share(pair[1].0))) y2=(y(pair[1].1)) {}
                        }
                        @for &(bytes, time) in &curve.points {
                            circle cx=(percent(across.share(bytes))) cy=(y(time)) r="2.5" {}
                        }
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_logarithmic_axis_has_whole_decades() {
        let axis = LogAxis::decades([0.03, 5.0]);
        assert_eq!((axis.low, axis.high), (-2.0, 1.0));
        assert_eq!(axis.share(0.01), 0.0);
        assert_eq!(axis.share(10.0), 1.0);
        let ticks: Vec<String> = axis.tens().map(|(value, _)| milliseconds(value)).collect();
        assert_eq!(ticks, ["10 µs", "100 µs", "1 ms", "10 ms"]);
        // One value, no value, and what has no logarithm.
        for values in [&[1.0][..], &[], &[0.0, f64::NAN, f64::INFINITY]] {
            let axis = LogAxis::decades(values.iter().copied());
            assert!(axis.low < axis.high);
            let axis = LogAxis::spanning(values.iter().copied());
            assert!(axis.low < axis.high);
        }
    }

    #[test]
    fn a_linear_axis_has_few_ticks() {
        assert_eq!(linear_ticks(1.0), [0.0, 0.25, 0.5, 0.75, 1.0]);
        assert_eq!(linear_ticks(1.48), [0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5]);
        for most in [0.1, 1.6, 3.1, 7.0, 40.0, 1e3, 1e6] {
            let ticks = linear_ticks(most);
            assert!(ticks.len() <= 7 && ticks.last().is_some_and(|&last| last >= most));
        }
    }

    #[test]
    fn marks_stay_within_the_chart() {
        assert_eq!(percent(-1.0), "2.00%");
        assert_eq!(percent(0.5), "50.00%");
        assert_eq!(percent(7.0), "98.00%");
    }
}
