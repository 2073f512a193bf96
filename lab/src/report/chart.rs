//! A figure as SVG that takes its colours and its width from the page around it: text is placed by percentages and keeps its
//! size, curves are stretched.

use maud::{Markup, html};

use crate::figure::{Arm, Axis, Figure, Scale, Series};
use crate::statistics::Estimate;

/// Pixels of the plot, and of what is above and below it.
const HEIGHT: f64 = 240.0;
const ABOVE: f64 = 10.0;
const BELOW: f64 = 40.0;
/// Pixels of the scale on the left.
const SCALE: usize = 52;
/// The plot's own coordinates, in both directions.
const SPAN: f64 = 1000.0;

/// A value's place on an axis.
#[derive(Clone, Debug)]
struct Range {
    low: f64,
    high: f64,
    log: bool,
    ticks: Vec<f64>,
}

fn nice_step(span: f64, most: f64) -> f64 {
    let rough = span / most;
    let power = 10f64.powf(rough.log10().floor());
    [1.0, 2.0, 5.0, 10.0]
        .into_iter()
        .map(|factor| factor * power)
        .find(|step| *step >= rough * (1.0 - 1e-9))
        .unwrap_or(power)
}

impl Range {
    fn new(scale: Scale, values: &[f64], points: usize, most_ticks: f64) -> Self {
        let log = scale == Scale::Log;
        let usable = values
            .iter()
            .copied()
            .filter(|value| value.is_finite() && (!log || *value > 0.0));
        let mut distinct: Vec<f64> = usable.clone().collect();
        distinct.sort_by(f64::total_cmp);
        distinct.dedup();
        let (Some(&first), Some(&last)) = (distinct.first(), distinct.last()) else {
            return Self {
                low: 0.0,
                high: 1.0,
                log: false,
                ticks: vec![0.0, 1.0],
            };
        };
        if scale == Scale::Share {
            return Self {
                low: 0.0,
                high: 1.0,
                log,
                ticks: vec![0.0, 0.2, 0.4, 0.6, 0.8, 1.0],
            };
        }
        if log {
            // The few places that there are, such as batch sizes, or powers of ten.
            if points > 0 && points <= 8 && distinct.len() == points && last / first < 1e4 {
                return Self {
                    low: first.log10(),
                    high: last.log10().max(first.log10() + 0.1),
                    log,
                    ticks: distinct,
                };
            }
            let (low, high) = (
                first.log10().floor(),
                last.log10().ceil().max(first.log10().floor() + 1.0),
            );
            let step = nice_step(high - low, most_ticks).max(1.0).round();
            let ticks = std::iter::successors(Some(low), |at| Some(at + step))
                .take_while(|at| *at <= high + 1e-9);
            return Self {
                low,
                high,
                log,
                ticks: ticks.map(|exponent| 10f64.powf(exponent)).collect(),
            };
        }
        let step = nice_step((last - first).max(f64::MIN_POSITIVE), most_ticks);
        if !step.is_finite() || step <= 0.0 || last <= first {
            return Self {
                low: first - 1.0,
                high: first + 1.0,
                log,
                ticks: vec![first],
            };
        }
        // Along the x axis values end where they end; up, at ticks.
        let (low, high) = if points > 0 {
            (first, last)
        } else {
            ((first / step).floor() * step, (last / step).ceil() * step)
        };
        let start = (low / step - 1e-9).ceil() as i64;
        let end = (high / step + 1e-9).floor() as i64;
        Self {
            low,
            high,
            log,
            ticks: (start..=end).map(|tick| tick as f64 * step).collect(),
        }
    }

    /// 0 to 1.
    fn share(&self, value: f64) -> Option<f64> {
        let value = if self.log {
            value.max(f64::MIN_POSITIVE).log10()
        } else {
            value
        };
        let share = (value - self.low) / (self.high - self.low);
        share.is_finite().then(|| share.clamp(-0.5, 1.5))
    }
}

fn label(scale: Scale, value: f64) -> String {
    if scale == Scale::Share {
        return format!("{:.0}%", 100.0 * value);
    }
    let size = value.abs();
    if value == 0.0 {
        "0".into()
    } else if scale == Scale::Log && !(0.009..10_001.0).contains(&size) {
        format!("1e{:.0}", size.log10())
    } else if size >= 0.999 && (value - value.round()).abs() < 1e-6 {
        format!("{value:.0}")
    } else {
        let decimals = (2.0 - size.log10().floor()).clamp(1.0, 6.0) as usize;
        let text = format!("{value:.decimals$}");
        text.trim_end_matches('0').trim_end_matches('.').to_owned()
    }
}

const fn class(arm: Arm) -> &'static str {
    match arm {
        Arm::With => "with",
        Arm::Without => "without",
        Arm::Other => "other",
    }
}

fn percent(share: f64) -> String {
    format!("{:.2}%", 100.0 * share)
}

fn anchor(share: f64) -> &'static str {
    match share {
        share if share < 0.06 => "start",
        share if share > 0.94 => "end",
        _ => "middle",
    }
}

/// A curve and its band in the plot's own coordinates.
struct Drawn {
    line: String,
    band: String,
    dots: Vec<(f64, f64)>,
}

/// A path from point to point.
fn path(points: impl Iterator<Item = (f64, f64)>) -> String {
    let texts: Vec<String> = points.map(|(x, y)| format!("{x:.1} {y:.1}")).collect();
    if texts.is_empty() {
        String::new()
    } else {
        format!("M{}", texts.join("L"))
    }
}

fn draw(series: &Series, x: &Range, y: &Range, scale: Scale) -> Drawn {
    let place = |at: f64, value: f64| Some((SPAN * x.share(at)?, SPAN * (1.0 - y.share(value)?)));
    let mut drawn = Drawn {
        line: String::new(),
        band: String::new(),
        dots: Vec::new(),
    };
    // Runs of points without a gap.
    let estimates = series.estimates(scale);
    let all: Vec<(f64, Option<Estimate>)> = series.x.iter().copied().zip(estimates).collect();
    for run in all.split(|(_, estimate)| estimate.is_none()) {
        let run: Vec<(f64, Estimate)> = run
            .iter()
            .filter_map(|&(at, estimate)| Some((at, estimate?)))
            .collect();
        let line = run
            .iter()
            .filter_map(|(at, estimate)| place(*at, estimate.effect));
        drawn
            .dots
            .extend(line.clone().map(|(x, y)| (x / SPAN, y / SPAN)));
        drawn.line += &path(line);
        let end = |(at, estimate): &(f64, Estimate), end: usize| place(*at, estimate.interval[end]);
        let outline = run
            .iter()
            .map(|point| end(point, 1))
            .chain(run.iter().rev().map(|point| end(point, 0)));
        drawn.band += &path(outline.flatten());
        if !run.is_empty() {
            drawn.band += "Z";
        }
    }
    drawn
}

/// The values that an axis has to show: means, and their bands as far as those are not much longer than all means together.
fn shown(estimates: &[Estimate], scale: Scale) -> Vec<f64> {
    let means = || estimates.iter().map(|estimate| estimate.effect);
    let (low, high) = means().fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), mean| {
        (low.min(mean), high.max(mean))
    });
    let room = 2.0 * (high - low);
    let ends = estimates.iter().flat_map(|estimate| estimate.interval);
    let near = ends.map(|end| end.clamp(low - room, high + room));
    match scale {
        Scale::Linear if room >= 0.0 => means().chain(near).collect(),
        Scale::Linear | Scale::Log | Scale::Share => means().collect(),
    }
}

fn key(series: &Series) -> Markup {
    html! {
        svg.key-line width="26" height="10" aria-hidden="true" {
            line.{ "line " (class(series.arm)) " dash" (series.dash) } x1="0" x2="26" y1="5" y2="5" {}
        }
    }
}

/// A figure with its heading and its key.
pub(super) fn figure(figure: &Figure) -> Markup {
    let x_values: Vec<f64> = figure
        .series
        .iter()
        .flat_map(|series| series.x.iter().copied())
        .collect();
    let points = figure
        .series
        .iter()
        .map(|series| series.x.len())
        .max()
        .unwrap_or(0)
        .max(1);
    let x = Range::new(figure.x.scale, &x_values, points, 5.0);
    let estimates: Vec<Estimate> = figure
        .series
        .iter()
        .flat_map(|series| series.estimates(figure.y.scale))
        .flatten()
        .collect();
    let y = Range::new(figure.y.scale, &shown(&estimates, figure.y.scale), 0, 6.0);
    let curves: Vec<(&Series, Drawn)> = figure
        .series
        .iter()
        .map(|series| (series, draw(series, &x, &y, figure.y.scale)))
        .collect();
    let bottom = ABOVE + HEIGHT;
    let up = |share: f64| ABOVE + HEIGHT * (1.0 - share);
    let few = points <= 16;
    let clip = format!("0 0 {SPAN} {SPAN}");
    html! {
        figure {
            h3 { (figure.title) }
            figcaption.muted {
                (figure.caption)
                div.keys { @for series in &figure.series { span.key { (key(series)) (series.name) } } }
                div.axis-name { (figure.y.label) }
            }
            div.plot {
                svg width=(SCALE) height=(bottom + BELOW) aria-hidden="true" {
                    @for &tick in &y.ticks {
                        @if let Some(share) = y.share(tick) {
                            text.tick x=(SCALE - 8) y=(format!("{:.1}", up(share) + 4.0)) text-anchor="end" { (label(figure.y.scale, tick)) }
                        }
                    }
                }
                svg width="100%" height=(bottom + BELOW) role="img" aria-label=(description(figure)) {
                    @for &tick in &y.ticks {
                        @if let Some(share) = y.share(tick) {
                            line.grid x1="0" x2="100%" y1=(up(share)) y2=(up(share)) {}
                        }
                    }
                    @for &tick in &x.ticks {
                        @if let Some(share) = x.share(tick) {
                            line.grid x1=(percent(share)) x2=(percent(share)) y1=(ABOVE) y2=(bottom) {}
                            text.tick x=(percent(share)) y=(bottom + 16.0) text-anchor=(anchor(share)) { (label(figure.x.scale, tick)) }
                        }
                    }
                    text.tick x="50%" y=(bottom + 34.0) text-anchor="middle" { (figure.x.label) }
                    svg.curves x="0" y=(ABOVE) width="100%" height=(HEIGHT) viewBox=(clip) preserveAspectRatio="none" {
                        @for (series, drawn) in &curves {
                            path.{ "band " (class(series.arm)) } d=(drawn.band) {}
                        }
                        @for (series, drawn) in &curves {
                            path.{ "line " (class(series.arm)) " dash" (series.dash) } d=(drawn.line) { title { (series.name) } }
                        }
                    }
                    @if few {
                        @for (series, drawn) in &curves {
                            @for &(px, py) in &drawn.dots {
                                circle.{ "dot " (class(series.arm)) } cx=(percent(px)) cy=(format!("{:.1}", ABOVE + HEIGHT * py)) r="3" {}
                            }
                        }
                    }
                }
            }
        }
    }
}

fn description(figure: &Figure) -> String {
    let name = |axis: &Axis| axis.label.clone();
    format!(
        "{}: {} by {}",
        figure.title,
        name(&figure.y),
        name(&figure.x)
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_have_few_ticks_that_lie_on_them() {
        for (scale, values, points) in [
            (Scale::Linear, &[0.0, 200.0][..], 41),
            (Scale::Linear, &[-37.2, 3.1], 0),
            (Scale::Log, &[1e-38, 1e7], 0),
            (Scale::Log, &[4.0, 10.0, 25.0, 100.0], 4),
            (Scale::Share, &[0.3, 0.9], 0),
            (Scale::Linear, &[1.0], 0),
            (Scale::Log, &[f64::NAN, 0.0], 0),
            (Scale::Linear, &[], 0),
        ] {
            let range = Range::new(scale, values, points, 6.0);
            assert!((1..=10).contains(&range.ticks.len()), "{range:?}");
            for &tick in &range.ticks {
                let share = range.share(tick).expect("a place");
                assert!((-1e-9..=1.0 + 1e-9).contains(&share), "{range:?}");
            }
        }
    }

    #[test]
    fn ticks_are_named_shortly() {
        for (scale, value, text) in [
            (Scale::Log, 1e-5, "1e-5"),
            (Scale::Log, 0.1, "0.1"),
            (Scale::Log, 100.0, "100"),
            (Scale::Linear, -20.0, "-20"),
            (Scale::Linear, 0.05, "0.05"),
            (Scale::Linear, 0.115, "0.115"),
            (Scale::Linear, 0.5, "0.5"),
            (Scale::Share, 0.2, "20%"),
        ] {
            assert_eq!(label(scale, value), text);
        }
    }

    #[test]
    fn a_gap_in_the_values_is_a_gap_in_the_curve() {
        let series = Series {
            name: String::new(),
            arm: Arm::With,
            dash: 0,
            x: vec![0.0, 1.0, 2.0, 3.0],
            values: vec![
                vec![Some(0.0)],
                vec![None],
                vec![Some(1.0)],
                vec![Some(1.0)],
            ],
        };
        let x = Range::new(Scale::Linear, &series.x, 4, 5.0);
        let y = Range::new(Scale::Linear, &[0.0, 1.0], 0, 5.0);
        let drawn = draw(&series, &x, &y, Scale::Linear);
        assert_eq!(drawn.line.matches('M').count(), 2);
        assert_eq!(drawn.dots.len(), 3);
    }
}
