//! The tensors that a case can expect: one row each.

use super::CaseFileError;
use super::tensors::Tensors;
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
    /// The tensor that it does not come without.
    needs: Option<&'static str>,
    /// What the device made of it.
    pub actual: fn(&Solution) -> Option<&[f32]>,
    /// The error allowed by default per unit of an expected value.
    pub relative: f64,
    /// The error allowed by default on top.
    pub absolute: f64,
}

/// All of them.
pub static KINDS: [Kind; 3] = [
    Kind {
        name: "expected.output",
        axes: Axes::Input,
        needs: None,
        actual: |solution| Some(&solution.y),
        relative: 1e-5,
        absolute: 1e-6,
    },
    Kind {
        name: "expected.running_mean",
        axes: Axes::Channels,
        needs: Some("running_mean"),
        actual: |solution| solution.state.as_ref().map(|state| &state.mean[..]),
        relative: 1e-5,
        absolute: 1e-6,
    },
    Kind {
        name: "expected.running_var",
        axes: Axes::Channels,
        needs: Some("running_var"),
        actual: |solution| solution.state.as_ref().map(|state| &state.variance[..]),
        relative: 1e-5,
        absolute: 1e-6,
    },
];

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
        if let Some(tensor) = kind.needs
            && tensors.find(tensor).is_none()
        {
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
