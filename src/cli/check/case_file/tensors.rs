//! The tensors of a case: which must be there, of which sizes and types.

use safetensors::tensor::{Dtype, SafeTensors, TensorView};

use super::CaseFileError;
use crate::cli::problem::State;

/// The tensors of a file, by name.
pub struct Tensors<'a> {
    /// The file.
    pub file: &'a SafeTensors<'a>,
}

impl<'a> Tensors<'a> {
    /// The tensor of a name.
    pub fn find(&self, name: &str) -> Option<TensorView<'a>> {
        self.file.tensor(name).ok()
    }

    /// A tensor of one f32 value per channel.
    pub fn vector(
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
    pub fn state(&self, channels: &[usize]) -> Result<Option<State>, CaseFileError> {
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

    /// A tensor of these sizes, of f32 or f64 values.
    pub fn doubles(
        &self,
        tensor: &'static str,
        sizes: &[usize],
    ) -> Result<Option<Vec<f64>>, CaseFileError> {
        let Some(view) = self.find(tensor) else {
            return Ok(None);
        };
        check_sizes(tensor, &view, sizes)?;
        doubles(tensor, &view).map(Some)
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

/// A tensor's f32 values.
pub fn floats(tensor: &'static str, view: &TensorView<'_>) -> Result<Vec<f32>, CaseFileError> {
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
