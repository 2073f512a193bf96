//! Layers in `.safetensors` files, under PyTorch's names.

#[cfg(not(target_family = "wasm"))]
use std::{fs, io, path::Path};

use half::{bf16, f16};
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensorError, SafeTensors};

use crate::header::check_header;
#[cfg(not(target_family = "wasm"))]
use crate::replace::replace;

use super::state::{LayerError, LayerState, Vector};

impl LayerState {
    /// The tensors of one layer out of the bytes of a `.safetensors` file: `weight`, `bias`, `running_mean`, `running_var`
    /// and `num_batches_tracked` after the prefix, as the `state_dict` of a PyTorch module has them. The prefix of a layer
    /// in a model ends with a dot, as in `layer1.0.bn1.`; a file of one layer has the empty one.
    ///
    /// What is not there is `None`, and whether the layer needs it shows where the state is set. All other tensors are
    /// ignored. Vectors are f32, or f64, f16 or bf16, which are converted: f64 to the nearest f32. NaNs and infinities are
    /// values. The number of batches is an int64 scalar.
    ///
    /// # Errors
    /// [`LayerError::Header`], [`LayerError::Format`], [`LayerError::Shape`], [`LayerError::Dtype`];
    /// [`LayerError::Batches`] for a negative number.
    pub fn from_safetensors(bytes: &[u8], prefix: &str) -> Result<Self, LayerError> {
        check_header(bytes)?;
        let file = SafeTensors::deserialize(bytes).map_err(format_error)?;
        let vector = |vector: Vector| {
            let name = vector.in_file(prefix);
            find(&file, &name)?
                .map(|view| floats(&view, name))
                .transpose()
        };
        let name = Vector::Batches.in_file(prefix);
        Ok(Self {
            gamma: vector(Vector::Gamma)?,
            beta: vector(Vector::Beta)?,
            running_mean: vector(Vector::RunningMean)?,
            running_variance: vector(Vector::RunningVariance)?,
            batches: find(&file, &name)?
                .map(|view| count(&view, name))
                .transpose()?,
        })
    }

    /// The bytes of a `.safetensors` file with this one layer; see [`layers_to_safetensors`].
    ///
    /// # Errors
    /// [`LayerError::Batches`] for a number above 63 bits.
    pub fn to_safetensors(&self, prefix: &str) -> Result<Vec<u8>, LayerError> {
        layers_to_safetensors([(prefix, self)])
    }

    /// [`LayerState::from_safetensors`] of a file, which is read whole: several layers of one file are read at once by
    /// [`load_layers`].
    ///
    /// # Errors
    /// As [`LayerState::from_safetensors`], and [`LayerError::Io`].
    #[cfg(not(target_family = "wasm"))]
    pub fn load(path: impl AsRef<Path>, prefix: &str) -> Result<Self, LayerError> {
        Self::from_safetensors(&read(path.as_ref())?, prefix)
    }

    /// Writes a file with this one layer; see [`save_layers`].
    ///
    /// # Errors
    /// As [`save_layers`].
    #[cfg(not(target_family = "wasm"))]
    pub fn save(&self, path: impl AsRef<Path>, prefix: &str) -> Result<(), LayerError> {
        save_layers(path, [(prefix, self)])
    }
}

/// The bytes of a `.safetensors` file of several layers, each under its prefix, for
/// [`LayerState::from_safetensors`] or PyTorch's `load_state_dict`: vectors as f32, the number of batches as an int64 scalar.
///
/// # Errors
/// [`LayerError::Twice`] where two layers have one prefix, [`LayerError::Batches`] for a number above 63 bits.
pub fn layers_to_safetensors<'a>(
    layers: impl IntoIterator<Item = (impl AsRef<str>, &'a LayerState)>,
) -> Result<Vec<u8>, LayerError> {
    let mut tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)> = Vec::new();
    for (prefix, state) in layers {
        let prefix = prefix.as_ref();
        for (vector, values) in state.vectors() {
            if let Some(values) = values {
                let bytes = values.iter().flat_map(|value| value.to_le_bytes());
                let shape = vec![values.len()];
                tensors.push((vector.in_file(prefix), Dtype::F32, shape, bytes.collect()));
            }
        }
        if let Some(batches) = state.batches {
            let tensor = Vector::Batches.in_file(prefix);
            let Ok(count) = i64::try_from(batches) else {
                return Err(LayerError::Batches {
                    tensor,
                    given: batches.into(),
                    limit: i64::MAX as u64,
                });
            };
            tensors.push((tensor, Dtype::I64, vec![], count.to_le_bytes().into()));
        }
    }
    tensors.sort_by(|a, b| a.0.cmp(&b.0));
    if let Some(pair) = tensors.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        return Err(LayerError::Twice {
            tensor: pair[0].0.clone(),
        });
    }
    let views = tensors
        .iter()
        .map(|(name, dtype, shape, bytes)| {
            Ok((name, TensorView::new(*dtype, shape.clone(), bytes)?))
        })
        .collect::<Result<Vec<_>, SafeTensorError>>()
        .map_err(format_error)?;
    // PyTorch's own writer says so, and readers of its ecosystem refuse files that do not.
    let metadata = [("format".into(), "pt".into())].into();
    safetensors::serialize(views, Some(metadata)).map_err(format_error)
}

/// Writes a `.safetensors` file of several layers, each under its prefix, as [`layers_to_safetensors`] lays it out.
///
/// The bytes go to a temporary file in the same folder, which is synchronized with the disk and then takes the place of
/// the old file: whatever interrupts this, either the old file or the new one is there, whole.
///
/// ```no_run
/// # fn example(stem: &wgpu_batchnorm::LayerState, head: &wgpu_batchnorm::LayerState) -> Result<(), wgpu_batchnorm::LayerError> {
/// wgpu_batchnorm::save_layers("model.safetensors", [("stem.bn.", stem), ("head.bn.", head)])?;
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`layers_to_safetensors`], and [`LayerError::Io`].
#[cfg(not(target_family = "wasm"))]
pub fn save_layers<'a>(
    path: impl AsRef<Path>,
    layers: impl IntoIterator<Item = (impl AsRef<str>, &'a LayerState)>,
) -> Result<(), LayerError> {
    let bytes = layers_to_safetensors(layers)?;
    let path = path.as_ref();
    replace(path, |file| io::Write::write_all(file, &bytes))
        .map_err(|source| io_error(path, source))
}

/// The layers of a `.safetensors` file under these prefixes, in their order. The file is read once, whole.
///
/// ```no_run
/// # fn example() -> Result<(), wgpu_batchnorm::LayerError> {
/// let layers = wgpu_batchnorm::load_layers("resnet.safetensors", ["bn1.", "layer1.0.bn1."])?;
/// assert_eq!(layers.len(), 2);
/// # Ok(())
/// # }
/// ```
///
/// # Errors
/// As [`LayerState::from_safetensors`], and [`LayerError::Io`].
#[cfg(not(target_family = "wasm"))]
pub fn load_layers(
    path: impl AsRef<Path>,
    prefixes: impl IntoIterator<Item = impl AsRef<str>>,
) -> Result<Vec<LayerState>, LayerError> {
    let bytes = read(path.as_ref())?;
    prefixes
        .into_iter()
        .map(|prefix| LayerState::from_safetensors(&bytes, prefix.as_ref()))
        .collect()
}

#[cfg(not(target_family = "wasm"))]
fn read(path: &Path) -> Result<Vec<u8>, LayerError> {
    fs::read(path).map_err(|source| io_error(path, source))
}

#[cfg(not(target_family = "wasm"))]
fn io_error(path: &Path, source: io::Error) -> LayerError {
    LayerError::Io {
        path: path.display().to_string(),
        source,
    }
}

fn format_error(error: SafeTensorError) -> LayerError {
    LayerError::Format {
        message: error.to_string(),
    }
}

/// A tensor of this name, where there is one.
fn find<'a>(file: &SafeTensors<'a>, name: &str) -> Result<Option<TensorView<'a>>, LayerError> {
    match file.tensor(name) {
        Ok(view) => Ok(Some(view)),
        Err(SafeTensorError::TensorNotFound(_)) => Ok(None),
        Err(error) => Err(format_error(error)),
    }
}

/// A vector of any floating-point type as f32.
fn floats(view: &TensorView<'_>, tensor: String) -> Result<Vec<f32>, LayerError> {
    if view.shape().len() != 1 {
        return Err(LayerError::Shape {
            tensor,
            given: view.shape().into(),
            needed: "a vector, [channels],",
        });
    }
    let data = view.data();
    Ok(match view.dtype() {
        Dtype::F32 => values(data, f32::from_le_bytes),
        Dtype::F64 => values(data, |bytes| f64::from_le_bytes(bytes) as f32),
        Dtype::F16 => values(data, |bytes| f16::from_le_bytes(bytes).to_f32()),
        Dtype::BF16 => values(data, |bytes| bf16::from_le_bytes(bytes).to_f32()),
        other => {
            return Err(LayerError::Dtype {
                tensor,
                given: other.to_string(),
                needed: "F32, F64, F16 or BF16",
            });
        }
    })
}

fn values<const N: usize>(data: &[u8], value: impl Fn([u8; N]) -> f32) -> Vec<f32> {
    data.as_chunks().0.iter().copied().map(value).collect()
}

/// A number of batches.
fn count(view: &TensorView<'_>, tensor: String) -> Result<u64, LayerError> {
    if view.dtype() != Dtype::I64 {
        return Err(LayerError::Dtype {
            tensor,
            given: view.dtype().to_string(),
            needed: "I64",
        });
    }
    let (&[bytes], true) = (view.data().as_chunks().0, view.shape().is_empty()) else {
        return Err(LayerError::Shape {
            tensor,
            given: view.shape().into(),
            needed: "a scalar, [],",
        });
    };
    let given = i64::from_le_bytes(bytes);
    u64::try_from(given).map_err(|_| LayerError::Batches {
        tensor,
        given: given.into(),
        limit: i64::MAX as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn vectors_of_every_floating_point_type_are_read() {
        let halves = [1.5f32, -0.0, f32::INFINITY, f32::NAN, 0.25];
        let bytes = |dtype| -> Vec<u8> {
            let of = |value: f32| match dtype {
                Dtype::F64 => f64::from(value).to_le_bytes().to_vec(),
                Dtype::F16 => f16::from_f32(value).to_le_bytes().to_vec(),
                Dtype::BF16 => bf16::from_f32(value).to_le_bytes().to_vec(),
                _ => value.to_le_bytes().to_vec(),
            };
            halves.into_iter().flat_map(of).collect()
        };
        for dtype in [Dtype::F32, Dtype::F64, Dtype::F16, Dtype::BF16] {
            let bytes = bytes(dtype);
            let view = TensorView::new(dtype, vec![5], &bytes).expect("a vector");
            let read = floats(&view, "x".into()).expect("floats");
            for (read, value) in read.iter().zip(halves) {
                assert!(
                    read.to_bits() == value.to_bits() || (read.is_nan() && value.is_nan()),
                    "{dtype}: {read} for {value}"
                );
            }
        }
        let double = (1.0 + 2.0f64.powi(-25)).to_le_bytes();
        let view = TensorView::new(Dtype::F64, vec![1], &double).expect("a vector");
        assert_eq!(floats(&view, "x".into()).expect("floats"), [1.0]);
    }
}
