//! What is to be computed: the options of training, of inference and of the backward pass.

use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::operation::Operation;
use crate::setters::setters;
use crate::shape::Shape;
use crate::tuning::{Tuning, Tunings};

/// The epsilon of PyTorch's and ONNX's batch normalization.
pub const DEFAULT_EPSILON: f32 = 1e-5;

/// How a training step moves the running statistics: `running += f * (batch - running)`.
///
/// Libraries call either `f` or `1 - f` the momentum. The constructors take the number as each of them writes it:
///
/// ```
/// use wgpu_batchnorm::Update;
///
/// // A quarter of the new batch, three quarters of what was there: one rule, in three notations.
/// let quarter = Update::Exponential(0.25);
/// assert_eq!(Update::pytorch_momentum(0.25), quarter);
/// assert_eq!(Update::keras_momentum(0.75), quarter);
/// assert_eq!(Update::onnx_momentum(0.75), quarter);
/// ```
///
/// They differ in the variance as well: [`Running::pytorch`], [`Running::keras`] and [`Running::onnx`] set both.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Update {
    /// `f` is this constant, the share of the new batch, in 0 to 1: PyTorch's `momentum`; one minus Keras's and ONNX's.
    Exponential(f32),
    /// `f = 1 / (number of batches seen, this one counted)`: the plain average of all batches (PyTorch's
    /// `momentum=None`).
    Cumulative,
}

impl Update {
    /// PyTorch's `momentum`: the share of the **new batch**, 0.1 where PyTorch is not told otherwise.
    pub const fn pytorch_momentum(momentum: f32) -> Self {
        Self::Exponential(momentum)
    }

    /// Keras's `momentum`: the share of the **old value** that is kept, 0.99 where Keras is not told otherwise.
    pub const fn keras_momentum(momentum: f32) -> Self {
        Self::Exponential(1.0 - momentum)
    }

    /// ONNX's `momentum`: the share of the **old value** that is kept, 0.9 where ONNX is not told otherwise.
    pub const fn onnx_momentum(momentum: f32) -> Self {
        Self::Exponential(1.0 - momentum)
    }
}

/// Which variance of the batch goes into the running variance. The batch itself is always normalized by the biased one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum RunningVariance {
    /// `sum((x - mean)^2) / (n - 1)`, as PyTorch.
    #[default]
    Unbiased,
    /// `sum((x - mean)^2) / n`, as Keras and ONNX.
    Biased,
}

/// The running statistics of a training step: PyTorch's by default.
///
/// ```
/// use wgpu_batchnorm::{Running, RunningVariance, Training, Update};
///
/// assert_eq!(Running::default(), Running::pytorch(Some(0.1)));
/// assert_eq!(Running::pytorch(None).update, Update::Cumulative);
///
/// // Keras's layer with its own defaults.
/// let keras = Training::default().epsilon(1e-3).running(Some(Running::keras(0.99)));
/// assert_eq!(keras.running.map(|running| running.variance), Some(RunningVariance::Biased));
/// ```
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Running {
    /// The update rule; 0.1 of the new batch by default.
    pub update: Update,
    /// The variance that is averaged; unbiased by default.
    pub variance: RunningVariance,
}

impl Default for Running {
    fn default() -> Self {
        Self::pytorch(Some(0.1))
    }
}

impl Running {
    /// As PyTorch: `momentum` is the share of the new batch, 0.1 where PyTorch is not told otherwise; `None` averages all
    /// batches. The running variance is unbiased.
    pub const fn pytorch(momentum: Option<f32>) -> Self {
        let update = match momentum {
            Some(momentum) => Update::pytorch_momentum(momentum),
            None => Update::Cumulative,
        };
        Self {
            update,
            variance: RunningVariance::Unbiased,
        }
    }

    /// As Keras: `momentum` is the share of the old value that is kept, 0.99 where Keras is not told otherwise. The running
    /// variance is biased.
    pub const fn keras(momentum: f32) -> Self {
        Self {
            update: Update::keras_momentum(momentum),
            variance: RunningVariance::Biased,
        }
    }

    /// As ONNX's operator in training mode: `momentum` is the share of the old value that is kept, 0.9 where ONNX is not
    /// told otherwise. The running variance is biased.
    pub const fn onnx(momentum: f32) -> Self {
        Self {
            update: Update::onnx_momentum(momentum),
            variance: RunningVariance::Biased,
        }
    }
}

/// Options of training: normalize by the statistics of the batch itself.
///
/// The default has gamma and beta, updates running statistics as PyTorch's default does and saves what the backward
/// pass needs.
///
/// ```
/// use wgpu_batchnorm::{Running, Training};
///
/// let options = Training::default()
///     .epsilon(1e-3)
///     .beta(false)
///     .running(Some(Running::pytorch(None)));
/// assert!(options.gamma && !options.beta);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a part of the layer that is there or is not"
)]
pub struct Training {
    /// Added to the variance; finite and not negative. 1e-5 by default.
    pub epsilon: f32,
    /// Whether the result is multiplied by gamma (PyTorch's `weight`). Yes by default.
    pub gamma: bool,
    /// Whether beta (PyTorch's `bias`) is added. Yes by default.
    pub beta: bool,
    /// The running statistics to update, or none.
    pub running: Option<Running>,
    /// Whether the batch's mean (in two parts) and inverse standard deviation are saved for the backward pass. Yes
    /// by default.
    pub saved: bool,
    /// How x, y and the residual are stored. f32 by default.
    pub element: Element,
    /// Applied to the normalized values, the residual added. None by default.
    pub activation: Activation,
    /// Whether a residual is added before the activation: `y = activation(norm(x) + residual)`. No by default.
    pub residual: bool,
    /// Whether a mask is written, from which [`Derivative::Mask`] finds the gradient of the activation. It is made from the
    /// y that was stored, by a pass of its own over it. No by default.
    pub mask: bool,
    /// Geometry of the kernels; `None` takes that of [`tunings`](Self::tunings).
    pub tuning: Option<Tuning>,
    /// What was measured on the adapter, of which a plan takes what is for its shape ([`Tunings::get`]). Where there is
    /// nothing for it, and where this is `None`, it takes [`Tuning::for_limits`].
    pub tunings: Option<Tunings>,
}

impl Default for Training {
    fn default() -> Self {
        Self {
            epsilon: DEFAULT_EPSILON,
            gamma: true,
            beta: true,
            running: Some(Running::default()),
            saved: true,
            element: Element::F32,
            activation: Activation::None,
            residual: false,
            mask: false,
            tuning: None,
            tunings: None,
        }
    }
}

setters!(Training {
    epsilon: f32,
    gamma: bool,
    beta: bool,
    running: Option<Running>,
    saved: bool,
    element: Element,
    activation: Activation,
    residual: bool,
    mask: bool,
    tunings: Option<Tunings>,
} or Some {
    tuning: Tuning,
});

/// Options of inference: normalize by statistics that are given, running or fixed.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a part of the layer that is there or is not"
)]
pub struct Inference {
    /// Added to the variance; finite and not negative. 1e-5 by default.
    pub epsilon: f32,
    /// Whether the result is multiplied by gamma (PyTorch's `weight`). Yes by default.
    pub gamma: bool,
    /// Whether beta (PyTorch's `bias`) is added. Yes by default.
    pub beta: bool,
    /// How x, y and the residual are stored. f32 by default.
    pub element: Element,
    /// Applied to the normalized values, the residual added. None by default.
    pub activation: Activation,
    /// Whether a residual is added before the activation: `y = activation(norm(x) + residual)`. No by default.
    pub residual: bool,
    /// Whether a mask is written, from which [`Derivative::Mask`] finds the gradient of the activation. It is made from the
    /// y that was stored, by a pass of its own over it. No by default.
    pub mask: bool,
    /// Geometry of the kernels; `None` takes that of [`tunings`](Self::tunings).
    pub tuning: Option<Tuning>,
    /// What was measured on the adapter, of which a plan takes what is for its shape ([`Tunings::get`]). Where there is
    /// nothing for it, and where this is `None`, it takes [`Tuning::for_limits`].
    pub tunings: Option<Tunings>,
}

impl Default for Inference {
    fn default() -> Self {
        Self {
            epsilon: DEFAULT_EPSILON,
            gamma: true,
            beta: true,
            element: Element::F32,
            activation: Activation::None,
            residual: false,
            mask: false,
            tuning: None,
            tunings: None,
        }
    }
}

setters!(Inference {
    epsilon: f32,
    gamma: bool,
    beta: bool,
    element: Element,
    activation: Activation,
    residual: bool,
    mask: bool,
    tunings: Option<Tunings>,
} or Some {
    tuning: Tuning,
});

/// What the forward pass normalized by, which the backward pass goes back through.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Statistics {
    /// The batch's own, as [`Training`] saved them: they depend on x, and their gradient is part of x's.
    #[default]
    Batch,
    /// Running or fixed ones, as in [`Inference`]: constants. For layers whose statistics are frozen.
    Fixed,
}

/// What becomes of a gradient.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gradient {
    /// It is not computed, where nothing else depends on it.
    Skip,
    /// It is written over what was there.
    Write,
    /// It is added to what was there.
    Add,
}

/// Options of the backward pass: from the gradient of y to those of x, gamma, beta and the residual.
///
/// ```text
/// g = dy * activation'(z)        z = norm(x) + residual        xhat = (x - mean) * invstd
/// dbeta = sum(g)                 dgamma = sum(g * xhat)        d_residual = g
/// batch statistics:   dx = gamma * invstd * (g - dbeta / n - xhat * dgamma / n)
/// fixed statistics:   dx = gamma * invstd * g
/// ```
///
/// (Ioffe and Szegedy, 2015.) The options follow from those of the forward pass:
///
/// ```
/// use wgpu_batchnorm::{Activation, Backward, Derivative, Gradient, Training};
///
/// let forward = Training::default().activation(Activation::Relu).residual(true);
/// let backward = Backward::from(&forward)
///     .derivative(Derivative::Output)
///     .grad_gamma(Gradient::Add)
///     .grad_beta(Gradient::Add);
/// assert_eq!(backward.grad_residual, Gradient::Write);
/// ```
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a part of the layer that is there or is not"
)]
pub struct Backward {
    /// What the forward pass normalized by: the batch by default.
    pub statistics: Statistics,
    /// The epsilon of the forward pass. Used with fixed statistics; saved ones have it in them. 1e-5 by default.
    pub epsilon: f32,
    /// Whether the layer has a gamma. Yes by default.
    pub gamma: bool,
    /// Whether the layer has a beta. Its values are read by [`Derivative::Input`] only. Yes by default.
    pub beta: bool,
    /// How x, dy and the other tensors of their shape are stored. f32 by default.
    pub element: Element,
    /// The activation of the forward pass. None by default.
    pub activation: Activation,
    /// Whether the forward pass added a residual. Its values are read by [`Derivative::Input`] only. No by default.
    pub residual: bool,
    /// What the activation's gradient is found from: the input by default.
    pub derivative: Derivative,
    /// The gradient of x: written by default. It may take the place of dy.
    pub grad_input: Gradient,
    /// The gradient of gamma: written by default.
    pub grad_gamma: Gradient,
    /// The gradient of beta: written by default.
    pub grad_beta: Gradient,
    /// The gradient of the residual: skipped by default. It may take the place of dy where that of x does not.
    pub grad_residual: Gradient,
    /// Geometry of the kernels; `None` takes that of [`tunings`](Self::tunings).
    pub tuning: Option<Tuning>,
    /// What was measured on the adapter, of which a plan takes what is for its shape ([`Tunings::get`]). Where there is
    /// nothing for it, and where this is `None`, it takes [`Tuning::for_limits`].
    pub tunings: Option<Tunings>,
}

impl Default for Backward {
    fn default() -> Self {
        Self::from(&Training::default())
    }
}

impl From<&Training> for Backward {
    /// The backward pass of a training step; every gradient that there is is written.
    fn from(forward: &Training) -> Self {
        let write = |there| {
            if there {
                Gradient::Write
            } else {
                Gradient::Skip
            }
        };
        Self {
            statistics: Statistics::Batch,
            epsilon: forward.epsilon,
            gamma: forward.gamma,
            beta: forward.beta,
            element: forward.element,
            activation: forward.activation,
            residual: forward.residual,
            derivative: if forward.mask {
                Derivative::Mask
            } else {
                Derivative::Input
            },
            grad_input: Gradient::Write,
            grad_gamma: write(forward.gamma),
            grad_beta: write(forward.beta),
            grad_residual: write(forward.residual),
            tuning: forward.tuning.clone(),
            tunings: forward.tunings.clone(),
        }
    }
}

impl From<&Inference> for Backward {
    /// The backward pass of a layer with frozen statistics; every gradient that there is is written.
    fn from(forward: &Inference) -> Self {
        let training = Training {
            epsilon: forward.epsilon,
            gamma: forward.gamma,
            beta: forward.beta,
            element: forward.element,
            activation: forward.activation,
            residual: forward.residual,
            mask: forward.mask,
            tuning: forward.tuning.clone(),
            tunings: forward.tunings.clone(),
            ..Training::default()
        };
        Self {
            statistics: Statistics::Fixed,
            ..Self::from(&training)
        }
    }
}

setters!(Backward {
    statistics: Statistics,
    epsilon: f32,
    gamma: bool,
    beta: bool,
    element: Element,
    activation: Activation,
    residual: bool,
    derivative: Derivative,
    grad_input: Gradient,
    grad_gamma: Gradient,
    grad_beta: Gradient,
    grad_residual: Gradient,
    tunings: Option<Tunings>,
} or Some {
    tuning: Tuning,
});

macro_rules! tuned {
    ($($options:ident)*) => {$(
        impl $options {
            /// The tuning of a plan for this shape, where the options have one for it.
            pub(crate) fn tuning_for(&self, shape: Shape) -> Option<&Tuning> {
                let measured = || {
                    let tunings = self.tunings.as_ref()?;
                    let pass = tunings.get(Operation::$options, shape, self.element)?;
                    Some(&pass.tuning)
                };
                self.tuning.as_ref().or_else(measured)
            }
        }
    )*};
}

tuned!(Inference Training Backward);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::PlanError;
    use crate::limits::Limits;
    use crate::plan::Plan;
    use crate::tuning::{TunedPass, TuningKey};

    fn sized(workgroup_size: u32) -> Tuning {
        Tuning {
            workgroup_size,
            ..Tuning::for_limits(&Limits::default())
        }
    }

    fn shape() -> Shape {
        Shape::channels_first(&[8, 64, 28, 28]).expect("a shape")
    }

    /// A tuning of its own for each operation and element.
    fn tunings() -> Tunings {
        let mut tunings = Tunings::new(TuningKey {
            adapter: "adapter".into(),
            backend: "vulkan".into(),
            driver: "driver".into(),
            driver_info: String::new(),
            version: "1".into(),
        });
        for (operation, element, size) in [
            (Operation::Inference, Element::F32, 8),
            (Operation::Training, Element::F32, 16),
            (Operation::Training, Element::F16, 32),
            (Operation::Backward, Element::F32, 64),
        ] {
            tunings.insert(TunedPass {
                operation,
                element,
                shape: shape(),
                tuning: sized(size),
                gain: 1.5,
                copy_fraction: Some(0.9),
            });
        }
        tunings
    }

    /// The one workgroup size of a plan.
    fn size(plan: Result<Plan, PlanError>) -> u64 {
        let plan = plan.expect("a plan");
        let mut sizes: Vec<_> = plan
            .dispatches()
            .map(|dispatch| dispatch.workgroup_size)
            .collect();
        sizes.dedup();
        assert_eq!(sizes.len(), 1);
        sizes[0]
    }

    #[test]
    fn a_plan_takes_the_tuning_of_its_operation_element_and_shape() {
        let limits = Limits::default();
        let training = Training::default().tunings(Some(tunings()));
        let inference = Inference::default().tunings(Some(tunings()));
        assert_eq!(size(Plan::training(&limits, shape(), &training)), 16);
        assert_eq!(size(Plan::inference(&limits, shape(), &inference)), 8);
        for backward in [Backward::from(&training), Backward::from(&inference)] {
            assert_eq!(size(Plan::backward(&limits, shape(), &backward)), 64);
        }
        // also where the element is set later
        let halves = training.clone().element(Element::F16);
        assert_eq!(size(Plan::training(&limits, shape(), &halves)), 32);
        // nothing is near
        let far = Shape::channels_last(&[4096, 1024]).expect("a shape");
        assert_eq!(size(Plan::training(&limits, far, &training)), 256);
        let halves = inference.element(Element::F16);
        assert_eq!(size(Plan::inference(&limits, shape(), &halves)), 256);
    }

    #[test]
    fn a_tuning_of_ones_own_comes_first() {
        let options = Training::default()
            .tunings(Some(tunings()))
            .tuning(sized(4));
        assert_eq!(
            size(Plan::training(&Limits::default(), shape(), &options)),
            4
        );
    }

    #[test]
    fn a_tuning_beyond_the_limits_is_not_replaced() {
        let limits = Limits {
            workgroup_size: 8,
            ..Limits::default()
        };
        let options = Training::default().tunings(Some(tunings()));
        let error = Plan::training(&limits, shape(), &options).expect_err("16 lanes");
        assert!(
            matches!(error, PlanError::Tuning { given: 16, .. }),
            "{error}"
        );
    }
}
