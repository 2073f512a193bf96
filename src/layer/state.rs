//! A layer's values on the host, and what can be wrong with them.

use thiserror::Error;

use crate::header::HeaderError;
use crate::transfer::TransferError;

/// The values of a layer, on the host. What the layer does not have is `None`.
///
/// ```
/// use wgpu_batchnorm::LayerState;
///
/// let state = LayerState {
///     gamma: Some(vec![1.0, 2.0]),
///     beta: Some(vec![0.0, 0.5]),
///     ..LayerState::default()
/// };
/// let bytes = state.to_safetensors("stem.bn.")?; // stem.bn.weight, stem.bn.bias
/// assert_eq!(LayerState::from_safetensors(&bytes, "stem.bn.")?, state);
/// # Ok::<(), wgpu_batchnorm::LayerError>(())
/// ```
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LayerState {
    /// gamma: PyTorch's `weight`.
    pub gamma: Option<Vec<f32>>,
    /// beta: PyTorch's `bias`.
    pub beta: Option<Vec<f32>>,
    /// The running mean.
    pub running_mean: Option<Vec<f32>>,
    /// The running variance: PyTorch's `running_var`.
    pub running_variance: Option<Vec<f32>>,
    /// The number of batches that the running statistics have seen: PyTorch's `num_batches_tracked`.
    pub batches: Option<u64>,
}

/// A layer, a state or a file that do not fit each other.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum LayerError {
    /// The layer has a tensor that the state or the file lacks.
    #[error("the layer needs {tensor}, which is not there")]
    Missing {
        /// Which tensor.
        tensor: String,
    },
    /// The layer has no such tensor.
    #[error("{tensor} was given, but the layer has none")]
    Unexpected {
        /// Which tensor.
        tensor: String,
    },
    /// A vector of another length than the channels.
    #[error("{tensor} has {given} values, but the layer has {needed} channels")]
    Length {
        /// Which tensor.
        tensor: String,
        /// Values given.
        given: u64,
        /// Values needed: the channels.
        needed: u64,
    },
    /// A tensor in a file of another rank than needed.
    #[error("{tensor} has the shape {given:?}: {needed} is needed")]
    Shape {
        /// Which tensor.
        tensor: String,
        /// The shape given.
        given: Vec<usize>,
        /// What is needed.
        needed: &'static str,
    },
    /// A tensor in a file of a type that cannot be used.
    #[error("{tensor} is of type {given}: {needed} is needed")]
    Dtype {
        /// Which tensor.
        tensor: String,
        /// The type given, as the file names it.
        given: String,
        /// What is needed.
        needed: &'static str,
    },
    /// A number of batches that cannot be kept.
    #[error("{tensor} is {given}: 0 to {limit} is needed")]
    Batches {
        /// Which tensor.
        tensor: String,
        /// The number given.
        given: i128,
        /// The largest that fits: 32 bits on the device, 63 in a file.
        limit: u64,
    },
    /// The channels have seen different numbers of batches.
    #[error("the channels have seen {least} to {most} batches: one number is needed for all")]
    BatchesDiffer {
        /// The least of them.
        least: u32,
        /// The most.
        most: u32,
    },
    /// Two tensors of one name for one file.
    #[error("{tensor} would be twice in the file: give each layer a prefix of its own")]
    Twice {
        /// Which tensor.
        tensor: String,
    },
    /// A `.safetensors` file that the `safetensors` crate says no to all the same.
    #[error("not a valid .safetensors file: {message}")]
    Format {
        /// What is wrong.
        message: String,
    },
    /// A `.safetensors` file that is truncated, or whose header is not true of it.
    #[error(transparent)]
    Header(#[from] HeaderError),
    /// A file that could not be read or written.
    #[error("the file {path} cannot be read or written")]
    Io {
        /// The file.
        path: String,
        /// What the system said.
        source: std::io::Error,
    },
    /// The device's side failed.
    #[error(transparent)]
    Transfer(#[from] TransferError),
}

/// The values of a layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Vector {
    Gamma,
    Beta,
    RunningMean,
    RunningVariance,
    Batches,
}

impl Vector {
    /// The name of the field of [`LayerState`].
    pub(super) const fn field(self) -> &'static str {
        match self {
            Self::Gamma => "gamma",
            Self::Beta => "beta",
            Self::RunningMean => "running_mean",
            Self::RunningVariance => "running_variance",
            Self::Batches => "batches",
        }
    }

    /// The name in a file: PyTorch's, after the prefix.
    pub(super) fn in_file(self, prefix: &str) -> String {
        let name = match self {
            Self::Gamma => "weight",
            Self::Beta => "bias",
            Self::RunningMean => "running_mean",
            Self::RunningVariance => "running_var",
            Self::Batches => "num_batches_tracked",
        };
        format!("{prefix}{name}")
    }
}

impl LayerState {
    /// The vectors of one value per channel.
    pub(super) fn vectors(&self) -> [(Vector, Option<&[f32]>); 4] {
        [
            (Vector::Gamma, self.gamma.as_deref()),
            (Vector::Beta, self.beta.as_deref()),
            (Vector::RunningMean, self.running_mean.as_deref()),
            (Vector::RunningVariance, self.running_variance.as_deref()),
        ]
    }

    /// Whether this is the state of a layer of `channels` channels with the vectors that `has` tells; then the number of
    /// batches as the device keeps it.
    pub(super) fn check(
        &self,
        channels: u64,
        has: impl Fn(Vector) -> bool,
        name: impl Fn(Vector) -> String,
    ) -> Result<Option<u32>, LayerError> {
        let lengths = self
            .vectors()
            .map(|(vector, values)| (vector, values.map(|values| values.len() as u64)));
        let batches = (Vector::Batches, self.batches.map(|_| channels));
        for (vector, given) in lengths.into_iter().chain([batches]) {
            let tensor = || name(vector);
            match (given, has(vector)) {
                (None, true) => return Err(LayerError::Missing { tensor: tensor() }),
                (Some(_), false) => return Err(LayerError::Unexpected { tensor: tensor() }),
                (Some(given), true) if given != channels => {
                    return Err(LayerError::Length {
                        tensor: tensor(),
                        given,
                        needed: channels,
                    });
                }
                _ => {}
            }
        }
        let fits = |batches: u64| {
            u32::try_from(batches).map_err(|_| LayerError::Batches {
                tensor: name(Vector::Batches),
                given: batches.into(),
                limit: u32::MAX.into(),
            })
        };
        self.batches.map(fits).transpose()
    }
}

/// The one number of batches of all channels; 0 where there are no channels.
pub(super) fn number_of_batches(counts: &[u32]) -> Result<u64, LayerError> {
    let least = counts.iter().copied().min().unwrap_or(0);
    let most = counts.iter().copied().max().unwrap_or(0);
    if least == most {
        Ok(least.into())
    } else {
        Err(LayerError::BatchesDiffer { least, most })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn state() -> LayerState {
        LayerState {
            gamma: Some(vec![1.0, 2.0]),
            running_mean: Some(vec![3.0, 4.0]),
            running_variance: Some(vec![5.0, 6.0]),
            batches: Some(7),
            ..LayerState::default()
        }
    }

    fn check(state: &LayerState, channels: u64) -> Result<Option<u32>, LayerError> {
        let has = |vector| vector != Vector::Beta;
        state.check(channels, has, |vector| vector.in_file("a."))
    }

    #[test]
    fn a_state_fits_the_layer_it_is_of_and_no_other() {
        assert!(matches!(check(&state(), 2), Ok(Some(7))));
        let error = check(&state(), 3).expect_err("another number of channels");
        assert_eq!(
            error.to_string(),
            "a.weight has 2 values, but the layer has 3 channels"
        );
        let without = LayerState {
            running_variance: None,
            ..state()
        };
        let error = check(&without, 2).expect_err("no running variance");
        assert_eq!(
            error.to_string(),
            "the layer needs a.running_var, which is not there"
        );
        let with = LayerState {
            beta: Some(vec![0.0; 2]),
            ..state()
        };
        let error = check(&with, 2).expect_err("a beta too many");
        assert_eq!(
            error.to_string(),
            "a.bias was given, but the layer has none"
        );
    }

    #[test]
    fn the_number_of_batches_fits_32_bits_and_is_one_for_all_channels() {
        let seen = |batches| LayerState {
            batches: Some(batches),
            ..state()
        };
        assert!(matches!(
            check(&seen(u32::MAX.into()), 2),
            Ok(Some(u32::MAX))
        ));
        let error = check(&seen(1 << 32), 2).expect_err("too many batches");
        assert_eq!(
            error.to_string(),
            "a.num_batches_tracked is 4294967296: 0 to 4294967295 is needed"
        );
        assert!(matches!(number_of_batches(&[]), Ok(0)));
        assert!(matches!(number_of_batches(&[9; 5]), Ok(9)));
        assert!(matches!(
            number_of_batches(&[9, 8, 10]),
            Err(LayerError::BatchesDiffer { least: 8, most: 10 })
        ));
    }
}
