//! The learned parameters, and whether what is given is what the options ask for.

use super::check_length;
use crate::error::HostError;

/// Gamma and beta of a layer on the host: one value per channel each, or neither (the default).
///
/// ```
/// use wgpu_batchnorm::reference::Parameters;
///
/// let (gamma, beta) = ([1.0, 2.0], [0.0, 0.5]);
/// let both = Parameters::new(&gamma, &beta);
/// let gamma_only = Parameters { gamma: Some(&gamma), ..Parameters::default() };
/// assert_eq!(both.gamma, gamma_only.gamma);
/// ```
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Parameters<'a> {
    /// The factor of each channel (PyTorch's `weight`); 1 where there is none.
    pub gamma: Option<&'a [f32]>,
    /// What is added to each channel (PyTorch's `bias`); 0 where there is none.
    pub beta: Option<&'a [f32]>,
}

impl<'a> Parameters<'a> {
    /// Gamma and beta.
    pub const fn new(gamma: &'a [f32], beta: &'a [f32]) -> Self {
        Self {
            gamma: Some(gamma),
            beta: Some(beta),
        }
    }

    /// The factor of a channel, whose existence [`Parameters::check_lengths`] has seen to.
    pub(crate) fn gamma(&self, channel: usize) -> f64 {
        self.gamma.map_or(1.0, |gamma| f64::from(gamma[channel]))
    }

    /// What is added to a channel, as [`Parameters::gamma`].
    pub(crate) fn beta(&self, channel: usize) -> f64 {
        self.beta.map_or(0.0, |beta| f64::from(beta[channel]))
    }

    pub(crate) fn check_lengths(&self, channels: u64) -> Result<(), HostError> {
        for (what, vector) in [("gamma", self.gamma), ("beta", self.beta)] {
            if let Some(vector) = vector {
                check_length(what, vector.len(), channels)?;
            }
        }
        Ok(())
    }

    pub(crate) fn check(&self, channels: u64, gamma: bool, beta: bool) -> Result<(), HostError> {
        check_presence("gamma", gamma, self.gamma.is_some())?;
        check_presence("beta", beta, self.beta.is_some())?;
        self.check_lengths(channels)
    }
}

/// The options and what is given must agree: silently dropping either would hide a mistake.
pub(crate) fn check_presence(
    what: &'static str,
    wanted: bool,
    given: bool,
) -> Result<(), HostError> {
    match (wanted, given) {
        (true, false) => Err(HostError::Missing { what }),
        (false, true) => Err(HostError::Unexpected { what }),
        _ => Ok(()),
    }
}
