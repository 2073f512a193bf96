//! The options of a case: its string metadata.

use std::collections::HashMap;
use std::str::FromStr;

use wgpu_batchnorm::{Activation, DEFAULT_EPSILON, Running, RunningVariance, Update};

use super::CaseFileError;

/// The keys that metadata can have.
pub const METADATA: [&str; 8] = [
    "mode",
    "epsilon",
    "momentum",
    "axis",
    "running_variance",
    "activation",
    "activation_alpha",
    "source",
];

/// The slope of leaky ReLU where a case does not say: PyTorch's.
const DEFAULT_ALPHA: f32 = 0.01;

/// The names of [`Activation::all`].
const ACTIVATION_NAMES: &str = "none, relu, leaky_relu, relu6, silu, gelu or gelu_tanh";

/// What to normalize by.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Mode {
    /// The batch's own statistics.
    Training,
    /// The running statistics.
    Inference,
}

/// The options of a case.
#[derive(Debug)]
pub struct Metadata {
    /// What to normalize by.
    pub mode: Mode,
    /// Added to the variance.
    pub epsilon: f32,
    /// How running statistics move.
    pub running: Running,
    /// The channels' axis.
    pub axis: isize,
    /// What is applied last.
    pub activation: Activation,
    /// Where the case comes from.
    pub source: Option<String>,
}

impl Metadata {
    /// Reads them, with a default for what is not there.
    pub fn parse(texts: &HashMap<String, String>) -> Result<Self, CaseFileError> {
        let mode = value(texts, "mode", "training or inference", |text| match text {
            "training" => Some(Mode::Training),
            "inference" => Some(Mode::Inference),
            _ => None,
        })?;
        let epsilon = value(texts, "epsilon", "a finite number of at least 0", |text| {
            number(text).filter(|epsilon: &f32| epsilon.is_finite() && *epsilon >= 0.0)
        })?;
        let update = value(
            texts,
            "momentum",
            "a number from 0 to 1, or cumulative",
            |text| match text {
                "cumulative" => Some(Update::Cumulative),
                _ => number(text)
                    .filter(|share: &f32| (0.0..=1.0).contains(share))
                    .map(Update::Exponential),
            },
        )?;
        let axis = value(texts, "axis", "a whole number", number)?;
        let variance = value(
            texts,
            "running_variance",
            "unbiased or biased",
            |text| match text {
                "unbiased" => Some(RunningVariance::Unbiased),
                "biased" => Some(RunningVariance::Biased),
                _ => None,
            },
        )?;
        let alpha = value(texts, "activation_alpha", "a finite number", |text| {
            number(text).filter(|slope: &f32| slope.is_finite())
        })?;
        let activation = value(texts, "activation", ACTIVATION_NAMES, |name| {
            let mut all = Activation::all(alpha.unwrap_or(DEFAULT_ALPHA)).into_iter();
            all.find(|activation| activation.name() == name)
        })?
        .unwrap_or(Activation::None);
        if alpha.is_some() && !matches!(activation, Activation::LeakyRelu { .. }) {
            return Err(CaseFileError::UnusedAlpha {
                activation: activation.name(),
            });
        }
        let usual = Running::default();
        Ok(Self {
            mode: mode.unwrap_or(Mode::Training),
            epsilon: epsilon.unwrap_or(DEFAULT_EPSILON),
            running: Running {
                update: update.unwrap_or(usual.update),
                variance: variance.unwrap_or(usual.variance),
            },
            axis: axis.unwrap_or(1),
            activation,
            source: texts.get("source").cloned(),
        })
    }
}

/// The value of a key, where it is there.
fn value<T>(
    texts: &HashMap<String, String>,
    key: &'static str,
    needed: &'static str,
    parse: impl Fn(&str) -> Option<T>,
) -> Result<Option<T>, CaseFileError> {
    texts
        .get(key)
        .map(|text| {
            parse(text).ok_or(CaseFileError::Value {
                key,
                given: text.clone(),
                needed,
            })
        })
        .transpose()
}

fn number<T: FromStr>(text: &str) -> Option<T> {
    text.trim().parse().ok()
}
