//! Case files: a batch normalization and what it should give, as `.safetensors`. [`FORMAT`] defines them.

mod container;
mod error;
mod expected;
#[cfg(test)]
mod fuzz;
mod metadata;
mod tensors;
#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::io::Read;

use safetensors::tensor::{Dtype, SafeTensors};
use wgpu_batchnorm::Shape;

use crate::cli::problem::{Problem, Statistics};
pub use error::CaseFileError;
pub use expected::Expected;
use metadata::{METADATA, Metadata, Mode};
use tensors::{Tensors, floats};

/// What a case file holds, as the command's help says it.
pub const FORMAT: &str = "\
Case files are .safetensors files of these tensors:
  input                                         the tensor to normalize, f32
  weight, bias                                  gamma and beta, f32, each optional
  running_mean, running_var                     running statistics, f32, optional
  num_batches_tracked                           the batches that they have seen, i64, 0 by default
  expected.output                               what is compared, f32 or f64, one of them
  expected.running_mean, expected.running_var   at least
and of this metadata, all of it texts:
  mode              training (default) or inference, by the batch's own statistics where the file
                    has no running ones
  epsilon           a finite number of at least 0; 1e-5
  momentum          the share of the new batch, 0 to 1, or cumulative; 0.1, as in PyTorch
  axis              the channels' axis, from the end where negative; 1
  running_variance  unbiased (default) or biased
  activation        none
  source            any text
Everything else is an error.";

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

/// The tensors of a case that are not expected ones.
const TENSORS: [&str; 6] = [
    "input",
    "weight",
    "bias",
    "running_mean",
    "running_var",
    "num_batches_tracked",
];

/// A case as its file has it, checked.
#[derive(Clone, Debug)]
pub struct CaseFile {
    /// Sizes of the input.
    pub sizes: Vec<usize>,
    /// The channels' axis, from 0.
    pub axis: usize,
    /// What is to be computed.
    pub problem: Problem,
    /// The tensors to compare with.
    pub expected: Vec<Expected>,
    /// Where the case comes from.
    pub source: Option<String>,
}

impl CaseFile {
    /// Reads a file.
    ///
    /// # Errors
    /// [`CaseFileError`]: whatever the source gives, this gives a case or an error, and takes memory for little more than
    /// the bytes that the source has.
    pub fn read(source: impl Read) -> Result<Self, CaseFileError> {
        Self::parse(&container::read(source)?)
    }

    /// Takes a file's bytes apart.
    ///
    /// # Errors
    /// [`CaseFileError`]: whatever a file can hold, this gives a case or an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, CaseFileError> {
        wgpu_batchnorm::check_header(bytes)?;
        let (_, header) = SafeTensors::read_metadata(bytes)?;
        let file = SafeTensors::deserialize(bytes)?;
        check_tensor_names(file.names().into_iter())?;
        let empty = HashMap::new();
        let texts = header.metadata().as_ref().unwrap_or(&empty);
        check_names("metadata key", texts.keys().map(String::as_str), &METADATA)?;

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
        let expected = expected::read(&tensors, &sizes, channels[0])?;
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
        let from_end = metadata.axis.unsigned_abs();
        Ok(Self {
            axis: if metadata.axis < 0 {
                sizes.len() - from_end
            } else {
                from_end
            },
            sizes,
            problem,
            expected,
            source: metadata.source,
        })
    }
}

/// Whether a case can have tensors of these names.
fn check_tensor_names<'a>(names: impl Iterator<Item = &'a str>) -> Result<(), CaseFileError> {
    let expected = expected::KINDS.iter().map(|kind| kind.name);
    let known: Vec<_> = TENSORS.into_iter().chain(expected).collect();
    check_names("tensor", names, &known)
}

fn check_names<'a>(
    kind: &'static str,
    names: impl Iterator<Item = &'a str>,
    known: &[&'static str],
) -> Result<(), CaseFileError> {
    // Files keep no order of their own: report the same name every time.
    let Some(name) = names.filter(|name| !known.contains(name)).min() else {
        return Ok(());
    };
    Err(if NOT_BUILT.contains(&name) {
        CaseFileError::NotSupported {
            what: name.to_owned(),
        }
    } else {
        CaseFileError::Unknown {
            kind,
            key: name.to_owned(),
            known: known.to_vec(),
        }
    })
}
