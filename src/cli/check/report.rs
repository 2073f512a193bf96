//! What was checked and found, for programs.

use serde::{Serialize, Serializer};
use wgpu_batchnorm::wgpu;

use crate::cli::Verdict;
use crate::cli::compare::{Comparison, Tolerance};
use crate::cli::device::AdapterReport;
use crate::cli::numerics::Numerics;
use crate::cli::size::place;
use crate::cli::tunings::Used;

/// Everything that a run has found. Numbers that JSON does not have (NaN, infinities) are texts in it.
#[derive(Debug, Serialize)]
pub struct Report {
    version: &'static str,
    adapter: AdapterReport,
    numerics: Numerics,
    /// The tunings that it ran with; null for the defaults.
    tuning: Option<Used>,
    verdict: Verdict,
    checked: Vec<Checked>,
}

/// A file or a built-in case.
#[derive(Debug, Serialize)]
pub struct Checked {
    /// The file's path, or what the case is.
    pub name: String,
    /// Whether it is right.
    pub verdict: Verdict,
    /// What is computed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Where it comes from.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub source: Option<String>,
    /// Why it could not be run.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub error: Option<String>,
    /// Each tensor that was compared.
    pub tensors: Vec<Compared>,
}

/// A tensor that was compared.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Compared {
    /// The tensor's name.
    pub name: &'static str,
    /// Its sizes.
    pub sizes: Vec<usize>,
    /// Whether every value is within the tolerance.
    pub right: bool,
    /// How many values are not.
    pub outside: usize,
    /// What is allowed.
    pub allowed: String,
    /// The value that is off the most, in units of what is allowed. None where there are no values.
    pub worst: Option<Worst>,
}

/// The value of a tensor that uses up most of its tolerance.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Worst {
    /// Its index in each axis of the tensor.
    pub at: Vec<usize>,
    /// What was computed.
    pub actual: Number,
    /// What it should be.
    pub expected: Number,
    /// Their distance.
    pub error: Number,
    /// The distance over what is allowed.
    pub share: Number,
}

impl Compared {
    /// A tensor of these sizes and how it compares.
    pub fn new(
        name: &'static str,
        sizes: Vec<usize>,
        comparison: &Comparison,
        tolerance: Tolerance,
    ) -> Self {
        let worst = comparison.worst.map(|worst| Worst {
            at: place(&sizes, worst.index),
            actual: Number(worst.actual.into()),
            expected: Number(worst.expected),
            error: Number(worst.error),
            share: Number(worst.share),
        });
        Self {
            name,
            sizes,
            right: comparison.is_within(),
            outside: comparison.outside,
            allowed: tolerance.to_string(),
            worst,
        }
    }
}

impl Checked {
    /// One that was run, by what was compared.
    pub fn compared(name: String, tensors: Vec<Compared>) -> Self {
        let right = tensors.iter().all(|tensor| tensor.right);
        Self {
            name,
            verdict: if right {
                Verdict::Right
            } else {
                Verdict::Wrong
            },
            description: None,
            source: None,
            error: None,
            tensors,
        }
    }

    /// One that could not be run.
    pub fn broken(name: String, error: String) -> Self {
        Self {
            verdict: Verdict::Broken,
            error: Some(error),
            ..Self::compared(name, Vec::new())
        }
    }
}

impl Report {
    /// Of what was checked on an adapter.
    pub fn new(
        info: &wgpu::AdapterInfo,
        numerics: Numerics,
        tuning: Option<Used>,
        checked: Vec<Checked>,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            adapter: AdapterReport::new(info),
            numerics,
            tuning,
            verdict: checked
                .iter()
                .map(|checked| checked.verdict)
                .max()
                .unwrap_or(Verdict::Right),
            checked,
        }
    }

    /// How the run ended.
    pub const fn verdict(&self) -> Verdict {
        self.verdict
    }
}

/// A number that may be none that JSON has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Number(pub f64);

impl Serialize for Number {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0.is_finite() {
            serializer.serialize_f64(self.0)
        } else {
            serializer.serialize_str(&self.0.to_string())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_json_has_no_number_for_is_text() {
        let json = |number| serde_json::to_string(&Number(number)).expect("JSON");
        assert_eq!(json(-1.5), "-1.5");
        assert_eq!(json(f64::NAN), "\"NaN\"");
        assert_eq!(json(f64::NEG_INFINITY), "\"-inf\"");
    }
}
