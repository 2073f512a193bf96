//! What is plotted: raw values, one for each seed, from which means and their intervals are drawn.

use serde::Serialize;

use crate::statistics::Estimate;

/// Whose values they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Arm {
    /// With batch norm.
    With,
    /// Without.
    Without,
    /// Something to compare both with.
    Other,
}

/// How values are spread along an axis.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scale {
    /// Evenly.
    Linear,
    /// By their logarithm.
    Log,
    /// 0 to 1, shown as percentages.
    Share,
}

/// One axis of a figure.
#[derive(Clone, Debug, Serialize)]
pub struct Axis {
    /// What it shows.
    pub label: String,
    /// How.
    pub scale: Scale,
}

impl Axis {
    /// An axis.
    pub fn new(label: &str, scale: Scale) -> Self {
        Self {
            label: label.to_owned(),
            scale,
        }
    }
}

/// A curve.
#[derive(Clone, Debug, Serialize)]
pub struct Series {
    /// What it is called.
    pub name: String,
    /// Whose it is.
    pub arm: Arm,
    /// Solid (0), dashed (1) or dotted (2).
    pub dash: usize,
    /// Along.
    pub x: Vec<f64>,
    /// For each x one value for each seed; none where it is not finite.
    pub values: Vec<Vec<Option<f64>>>,
}

impl Series {
    /// The mean at each x with its interval, geometric on a logarithmic scale. A value that is not there leaves a gap where no
    /// seed has one.
    pub fn estimates(&self, scale: Scale) -> Vec<Option<Estimate>> {
        let of = |values: &Vec<Option<f64>>| {
            let present = values.iter().copied().flatten();
            let (there, back): (Vec<f64>, fn(f64) -> f64) = match scale {
                Scale::Log => (
                    present.filter(|value| *value > 0.0).map(f64::ln).collect(),
                    f64::exp,
                ),
                Scale::Linear | Scale::Share => (present.collect(), |value| value),
            };
            if there.is_empty() {
                return None;
            }
            let mut estimate = Estimate::of(&there);
            if there.len() == 1 {
                estimate.interval = [estimate.effect; 2];
            }
            Some(estimate.map(back))
        };
        self.values.iter().map(of).collect()
    }
}

/// A plot.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// What it shows.
    pub title: String,
    /// How to read it.
    pub caption: String,
    /// Along.
    pub x: Axis,
    /// Up.
    pub y: Axis,
    /// The curves.
    pub series: Vec<Series>,
}
