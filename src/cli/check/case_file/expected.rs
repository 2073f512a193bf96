//! The tensors that a case can expect: one row each.

use wgpu_batchnorm::Element;

use super::CaseFileError;
use super::tensors::Tensors;
use crate::cli::compare::Tolerance;
use crate::cli::problem::Solution;

/// Which axes a tensor has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Axes {
    /// The input's.
    Input,
    /// The channels.
    Channels,
}

/// A tensor that a case can expect.
#[derive(Debug)]
pub struct Kind {
    /// Its name in files.
    pub name: &'static str,
    axes: Axes,
    /// The tensors that it does not come without.
    needs: &'static [&'static str],
    /// What the device made of it.
    pub actual: fn(&Solution) -> Option<&[f32]>,
    /// The error allowed by default per unit of an expected value.
    relative: f64,
    /// The error allowed by default on top.
    absolute: f64,
}

/// All of them.
pub static KINDS: [Kind; 7] = [
    Kind {
        name: "expected.output",
        axes: Axes::Input,
        needs: &[],
        actual: |solution| Some(&solution.y),
        relative: 1e-5,
        absolute: 1e-6,
    },
    Kind {
        name: "expected.running_mean",
        axes: Axes::Channels,
        needs: &["running_mean"],
        actual: |solution| solution.state.as_ref().map(|state| &state.mean[..]),
        relative: 1e-5,
        absolute: 1e-6,
    },
    Kind {
        name: "expected.running_var",
        axes: Axes::Channels,
        needs: &["running_var"],
        actual: |solution| solution.state.as_ref().map(|state| &state.variance[..]),
        relative: 1e-5,
        absolute: 1e-6,
    },
    Kind {
        name: "expected.grad_input",
        axes: Axes::Input,
        needs: &["grad_output"],
        actual: |solution| solution.gradients.as_ref().map(|all| &all.input[..]),
        relative: 1e-4,
        absolute: 1e-5,
    },
    Kind {
        name: "expected.grad_weight",
        axes: Axes::Channels,
        needs: &["grad_output", "weight"],
        actual: |solution| solution.gradients.as_ref()?.gamma.as_deref(),
        relative: 1e-4,
        absolute: 1e-5,
    },
    Kind {
        name: "expected.grad_bias",
        axes: Axes::Channels,
        needs: &["grad_output", "bias"],
        actual: |solution| solution.gradients.as_ref()?.beta.as_deref(),
        relative: 1e-4,
        absolute: 1e-5,
    },
    Kind {
        name: "expected.grad_residual",
        axes: Axes::Input,
        needs: &["grad_output", "residual"],
        actual: |solution| solution.gradients.as_ref()?.residual.as_deref(),
        relative: 1e-4,
        absolute: 1e-5,
    },
];

impl Kind {
    /// What is allowed of a case whose tensors are stored as `element`: these numbers or the usual ones, and on top the
    /// rounding of what has the input's shape.
    pub fn tolerance(
        &self,
        relative: Option<f64>,
        absolute: Option<f64>,
        element: Element,
    ) -> Tolerance {
        let arithmetic = Tolerance::Sum {
            absolute: absolute.unwrap_or(self.absolute),
            relative: relative.unwrap_or(self.relative),
        };
        match self.axes {
            Axes::Input => arithmetic.stored_as(element),
            Axes::Channels => arithmetic,
        }
    }
}

/// A tensor that a case expects.
#[derive(Clone, Debug)]
pub struct Expected {
    /// Which one.
    pub kind: &'static Kind,
    /// Its sizes.
    pub sizes: Vec<usize>,
    /// Its values.
    pub values: Vec<f64>,
}

impl Expected {
    /// Whether the backward pass makes it.
    pub fn is_gradient(&self) -> bool {
        self.kind.needs.contains(&"grad_output")
    }
}

/// Reads those that are there, one at least.
pub fn read(
    tensors: &Tensors<'_>,
    input: &[usize],
    channels: usize,
) -> Result<Vec<Expected>, CaseFileError> {
    let mut all = Vec::new();
    for kind in &KINDS {
        let sizes = match kind.axes {
            Axes::Input => input.to_vec(),
            Axes::Channels => vec![channels],
        };
        let Some(values) = tensors.doubles(kind.name, &sizes)? else {
            continue;
        };
        let mut needs = kind.needs.iter();
        if let Some(tensor) = needs.find(|name| tensors.find(name).is_none()) {
            return Err(CaseFileError::Missing {
                tensor,
                needed_by: Some(kind.name),
            });
        }
        all.push(Expected {
            kind,
            sizes,
            values,
        });
    }
    if all.is_empty() {
        return Err(CaseFileError::NothingExpected);
    }
    Ok(all)
}
