//! Case files: a batch normalization and what it should give, as `.safetensors`.
//!
//! | tensor | |
//! |---|---|
//! | `input` | the tensor to normalize, f32 |
//! | `weight`, `bias` | gamma and beta, f32, each optional |
//! | `running_mean`, `running_var`, `num_batches_tracked` | running statistics, f32 and i64, optional; 0 batches by default |
//! | `expected.output`, `expected.running_mean`, `expected.running_var` | what is compared, f32 or f64, one at least |
//!
//! | metadata | values | default |
//! |---|---|---|
//! | `mode` | `training`, `inference` | `training` |
//! | `epsilon` | a finite number of at least 0 | 1e-5 |
//! | `momentum` | the share of the new batch, 0 to 1, or `cumulative` | 0.1 |
//! | `axis` | the channels' axis, from the end where negative | 1 |
//! | `running_variance` | `unbiased`, `biased` | `unbiased` |
//! | `activation` | `none` | `none` |
//! | `source` | any text | |
//!
//! Without running statistics `inference` normalizes by the batch's own. An unknown key is an error.

mod error;
mod metadata;
mod tensors;
#[cfg(test)]
mod tests;

use std::collections::HashMap;

use safetensors::tensor::{Dtype, SafeTensors};
use wgpu_batchnorm::Shape;

use crate::cli::problem::{Problem, Statistics};
pub use error::CaseFileError;
use metadata::{Metadata, Mode};
use tensors::{Tensors, floats};

/// Names of the format that are defined, but that this version cannot compute.
const NOT_BUILT: [&str; 7] = [
    "residual",
    "grad_output",
    "activation_alpha",
    "expected.grad_input",
    "expected.grad_weight",
    "expected.grad_bias",
    "expected.grad_residual",
];

const TENSORS: [&str; 9] = [
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
    "expected.output",
    "expected.running_mean",
    "expected.running_var",
];

const METADATA: [&str; 7] = [
    "mode",
    "epsilon",
    "momentum",
    "axis",
    "running_variance",
    "activation",
    "source",
];

/// A case as its file has it, checked.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Sizes of the input.
    pub sizes: Vec<usize>,
    /// What is to be computed.
    pub problem: Problem,
    /// The tensors to compare with.
    pub expected: Expected,
    /// Where the case comes from.
    pub source: Option<String>,
}

/// The tensors to compare with; those that are present are compared.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Expected {
    /// The normalized tensor.
    pub output: Option<Vec<f64>>,
    /// The running mean after the step.
    pub running_mean: Option<Vec<f64>>,
    /// The running variance after the step.
    pub running_var: Option<Vec<f64>>,
}

impl CaseFile {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`CaseFileError`]: whatever a file can hold, this gives a case or an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, CaseFileError> {
        wgpu_batchnorm::check_extents(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        check_names("tensor", file.names(), &TENSORS)?;
        let empty = HashMap::new();
        let texts = header.metadata().as_ref().unwrap_or(&empty);
        check_names(
            "metadata key",
            texts.keys().map(String::as_str).collect(),
            &METADATA,
        )?;

        let metadata = Metadata::parse(texts)?;
        let tensors = Tensors { file: &file };
        let input = tensors.find("input").ok_or(CaseFileError::Missing {
            tensor: "input",
            needed_by: None,
        })?;
        if matches!(input.dtype(), Dtype::F16 | Dtype::BF16) {
            return Err(CaseFileError::NotSupported {
                what: format!("an input of {:?}", input.dtype()),
            });
        }
        let sizes = input.shape().to_vec();
        let shape = Shape::with_axis(&sizes, metadata.axis)?;
        let x = floats("input", &input)?;
        // The channel count is one of the sizes, which are usize.
        let channels = [shape.channels() as usize];

        let state = tensors.state(&channels)?;
        let expected = tensors.expected(&sizes, &channels, state.is_some())?;
        let statistics = match (metadata.mode, state) {
            (Mode::Inference, Some(state)) => Statistics::Given(state),
            (Mode::Training, Some(state)) => Statistics::Batch(Some((metadata.running, state))),
            (_, None) => Statistics::Batch(None),
        };
        let problem = Problem {
            shape,
            x,
            gamma: tensors.vector("weight", &channels)?,
            beta: tensors.vector("bias", &channels)?,
            epsilon: metadata.epsilon,
            statistics,
        };
        Ok(Self {
            sizes,
            problem,
            expected,
            source: metadata.source,
        })
    }
}

fn check_names(
    kind: &'static str,
    mut names: Vec<&str>,
    known: &'static [&'static str],
) -> Result<(), CaseFileError> {
    // Files keep no order of their own: report the same name every time.
    names.sort_unstable();
    for name in names {
        if NOT_BUILT.contains(&name) {
            return Err(CaseFileError::NotSupported {
                what: name.to_owned(),
            });
        }
        if !known.contains(&name) {
            return Err(CaseFileError::Unknown {
                kind,
                key: name.to_owned(),
                known,
            });
        }
    }
    Ok(())
}
