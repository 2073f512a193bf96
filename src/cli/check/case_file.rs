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

use std::collections::HashMap;
use std::str::FromStr;

use safetensors::tensor::{Dtype, SafeTensorError, SafeTensors, TensorView};
use thiserror::Error;
use wgpu_batchnorm::{DEFAULT_EPSILON, Running, RunningVariance, Shape, ShapeError, Update};

use crate::cli::problem::{Problem, State, Statistics};

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

/// Why a file is not a case.
#[derive(Debug, Error)]
pub enum CaseFileError {
    /// Not a safetensors file, or a broken one.
    #[error("not a whole .safetensors file: {0}")]
    Container(#[from] SafeTensorError),
    /// A tensor that ends after the file.
    #[error("not a whole .safetensors file: {tensor} ends at byte {end} of {len}")]
    Extent {
        /// Which tensor.
        tensor: String,
        /// Where its values are said to end.
        end: u64,
        /// The file's length.
        len: usize,
    },
    /// A tensor or metadata key that the format does not have.
    #[error("unknown {kind} {key:?}: the names are {}", known.join(", "))]
    Unknown {
        /// `tensor` or `metadata key`.
        kind: &'static str,
        /// The name given.
        key: String,
        /// The names that there are.
        known: &'static [&'static str],
    },
    /// Defined, but not computed by this version.
    #[error("{what} is not supported yet")]
    NotSupported {
        /// Which tensor, key or value.
        what: String,
    },
    /// A tensor that another one, or every case, needs.
    #[error("{tensor} is missing{}", because(*needed_by))]
    Missing {
        /// Which tensor.
        tensor: &'static str,
        /// What needs it.
        needed_by: Option<&'static str>,
    },
    /// A tensor of another element type.
    #[error("{tensor} has elements of {given:?}: {needed} is needed")]
    ElementType {
        /// Which tensor.
        tensor: &'static str,
        /// Its type.
        given: Dtype,
        /// What can be read.
        needed: &'static str,
    },
    /// A tensor of other sizes.
    #[error("{tensor} has the sizes {given:?}: {needed:?} is needed")]
    Sizes {
        /// Which tensor.
        tensor: &'static str,
        /// Its sizes.
        given: Vec<usize>,
        /// What they must be.
        needed: Vec<usize>,
    },
    /// A count of batches that is negative or above 32 bits.
    #[error("num_batches_tracked is {given}: 0 to {} is needed", u32::MAX)]
    Batches {
        /// The count given.
        given: i64,
    },
    /// A metadata value that cannot be read.
    #[error("{key} is {given:?}: {needed} is needed")]
    Value {
        /// Which key.
        key: &'static str,
        /// Its value.
        given: String,
        /// What it must be.
        needed: &'static str,
    },
    /// An input that has no such channel axis.
    #[error("input: {0}")]
    Shape(#[from] ShapeError),
    /// A case that nothing could fail.
    #[error(
        "there is nothing to compare: expected.output, expected.running_mean or expected.running_var is needed"
    )]
    NothingExpected,
}

fn because(needed_by: Option<&str>) -> String {
    needed_by.map_or(String::new(), |tensor| format!(": {tensor} needs it"))
}

impl CaseFile {
    /// Reads a file's bytes.
    ///
    /// # Errors
    /// [`CaseFileError`]: whatever a file can hold, this gives a case or an error.
    pub fn parse(bytes: &[u8]) -> Result<Self, CaseFileError> {
        check_extents(bytes)?;
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

/// The `safetensors` crate adds the offsets up before it compares them with the file: sums near 2^64 would wrap.
fn check_extents(bytes: &[u8]) -> Result<(), CaseFileError> {
    let header = bytes.first_chunk().and_then(|len| {
        let end = u64::from_le_bytes(*len).checked_add(8)?;
        bytes.get(8..usize::try_from(end).ok()?)
    });
    // What is not a header is reported by the crate itself.
    let Some(Ok(serde_json::Value::Object(header))) = header.map(serde_json::from_slice) else {
        return Ok(());
    };
    for (tensor, entry) in header {
        let end = entry["data_offsets"][1].as_u64().unwrap_or(0);
        if end > bytes.len() as u64 {
            return Err(CaseFileError::Extent {
                tensor,
                end,
                len: bytes.len(),
            });
        }
    }
    Ok(())
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

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mode {
    Training,
    Inference,
}

/// The options of a case.
#[derive(Debug)]
struct Metadata {
    mode: Mode,
    epsilon: f32,
    running: Running,
    axis: isize,
    source: Option<String>,
}

impl Metadata {
    fn parse(texts: &HashMap<String, String>) -> Result<Self, CaseFileError> {
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
        match texts.get("activation").map(String::as_str) {
            None | Some("none") => {}
            Some(other) => {
                return Err(CaseFileError::NotSupported {
                    what: format!("activation {other:?}"),
                });
            }
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

/// The tensors of a file, by name.
struct Tensors<'a> {
    file: &'a SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    fn find(&self, name: &str) -> Option<TensorView<'a>> {
        self.file.tensor(name).ok()
    }

    /// A tensor of one f32 value per channel.
    fn vector(
        &self,
        tensor: &'static str,
        channels: &[usize],
    ) -> Result<Option<Vec<f32>>, CaseFileError> {
        let Some(view) = self.find(tensor) else {
            return Ok(None);
        };
        check_sizes(tensor, &view, channels)?;
        floats(tensor, &view).map(Some)
    }

    /// The running statistics, which are there as a whole or not at all.
    fn state(&self, channels: &[usize]) -> Result<Option<State>, CaseFileError> {
        let mean = self.vector("running_mean", channels)?;
        let variance = self.vector("running_var", channels)?;
        let batches = self.batches()?;
        let missing = |tensor, by| {
            Err(CaseFileError::Missing {
                tensor,
                needed_by: Some(by),
            })
        };
        match (mean, variance, batches) {
            (Some(mean), Some(variance), batches) => Ok(Some(State {
                mean,
                variance,
                batches: batches.unwrap_or(0),
            })),
            (None, None, None) => Ok(None),
            (Some(_), None, _) => missing("running_var", "running_mean"),
            (None, Some(_), _) => missing("running_mean", "running_var"),
            (None, None, Some(_)) => missing("running_mean", "num_batches_tracked"),
        }
    }

    /// The count of batches: one integer, PyTorch's without an axis.
    fn batches(&self) -> Result<Option<u32>, CaseFileError> {
        let tensor = "num_batches_tracked";
        let Some(view) = self.find(tensor) else {
            return Ok(None);
        };
        if view.dtype() != Dtype::I64 {
            return Err(CaseFileError::ElementType {
                tensor,
                given: view.dtype(),
                needed: "I64",
            });
        }
        match view.data().try_into() {
            Ok(bytes) => {
                let given = i64::from_le_bytes(bytes);
                u32::try_from(given)
                    .map(Some)
                    .map_err(|_| CaseFileError::Batches { given })
            }
            Err(_) => Err(CaseFileError::Sizes {
                tensor,
                given: view.shape().to_vec(),
                needed: Vec::new(),
            }),
        }
    }

    fn expected(
        &self,
        sizes: &[usize],
        channels: &[usize],
        has_state: bool,
    ) -> Result<Expected, CaseFileError> {
        let read = |tensor, sizes: &[usize]| {
            let Some(view) = self.find(tensor) else {
                return Ok(None);
            };
            check_sizes(tensor, &view, sizes)?;
            doubles(tensor, &view).map(Some)
        };
        let expected = Expected {
            output: read("expected.output", sizes)?,
            running_mean: read("expected.running_mean", channels)?,
            running_var: read("expected.running_var", channels)?,
        };
        let needs_state = [
            (
                "expected.running_mean",
                "running_mean",
                &expected.running_mean,
            ),
            ("expected.running_var", "running_var", &expected.running_var),
        ];
        for (tensor, start, values) in needs_state {
            if values.is_some() && !has_state {
                return Err(CaseFileError::Missing {
                    tensor: start,
                    needed_by: Some(tensor),
                });
            }
        }
        if expected == Expected::default() {
            return Err(CaseFileError::NothingExpected);
        }
        Ok(expected)
    }
}

fn check_sizes(
    tensor: &'static str,
    view: &TensorView<'_>,
    needed: &[usize],
) -> Result<(), CaseFileError> {
    if view.shape() == needed {
        return Ok(());
    }
    Err(CaseFileError::Sizes {
        tensor,
        given: view.shape().to_vec(),
        needed: needed.to_vec(),
    })
}

fn floats(tensor: &'static str, view: &TensorView<'_>) -> Result<Vec<f32>, CaseFileError> {
    match view.dtype() {
        Dtype::F32 => Ok(view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f32::from_le_bytes(bytes))
            .collect()),
        given => Err(CaseFileError::ElementType {
            tensor,
            given,
            needed: "F32",
        }),
    }
}

fn doubles(tensor: &'static str, view: &TensorView<'_>) -> Result<Vec<f64>, CaseFileError> {
    match view.dtype() {
        Dtype::F64 => Ok(view
            .data()
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| f64::from_le_bytes(bytes))
            .collect()),
        Dtype::F32 => Ok(floats(tensor, view)?.into_iter().map(f64::from).collect()),
        given => Err(CaseFileError::ElementType {
            tensor,
            given,
            needed: "F32 or F64",
        }),
    }
}

#[cfg(test)]
#[path = "case_file_tests.rs"]
mod tests;
