//! What a plan computes, as far as its tensors and the text of its kernels depend on it.

use super::{Role, Stage};
use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::options::{Backward, Gradient, Inference, Statistics, Training};

/// What a plan computes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Needs {
    pub element: Element,
    pub gamma: bool,
    pub beta: bool,
    pub activation: Activation,
    pub residual: bool,
    /// Running or fixed statistics to normalize by.
    pub given: bool,
    pub pass: Pass,
}

/// The direction, and what only one has.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Pass {
    Forward(Forward),
    Backward(Gradients),
}

#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(crate) struct Forward {
    /// Running statistics to update.
    pub running: bool,
    pub saved: bool,
    pub mask: bool,
    /// Moments of the batch come from the caller.
    pub from_shards: bool,
    /// Moments go to the caller, and nothing is normalized.
    pub to_moments: bool,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Gradients {
    pub derivative: Derivative,
    pub input: Gradient,
    pub gamma: Gradient,
    pub beta: Gradient,
    pub residual: Gradient,
    /// The gradients of gamma and beta come from the caller.
    pub given: bool,
}

impl Needs {
    pub fn training(options: &Training) -> Self {
        Self {
            element: options.element,
            gamma: options.gamma,
            beta: options.beta,
            activation: options.activation,
            residual: options.residual,
            given: false,
            pass: Pass::Forward(Forward {
                running: options.running.is_some(),
                saved: options.saved,
                mask: options.mask,
                ..Forward::default()
            }),
        }
    }

    pub fn inference(options: &Inference) -> Self {
        Self {
            element: options.element,
            gamma: options.gamma,
            beta: options.beta,
            activation: options.activation,
            residual: options.residual,
            given: true,
            pass: Pass::Forward(Forward {
                mask: options.mask,
                ..Forward::default()
            }),
        }
    }

    /// Moments of x, or of given moments, for the caller.
    pub fn moments(element: Element, given: bool) -> Self {
        Self {
            element,
            gamma: false,
            beta: false,
            activation: Activation::None,
            residual: false,
            given: false,
            pass: Pass::Forward(Forward {
                from_shards: given,
                to_moments: true,
                ..Forward::default()
            }),
        }
    }

    pub fn backward(options: &Backward, given_gradients: bool) -> Self {
        let batch = options.statistics == Statistics::Batch;
        let parameters = |gradient| {
            if given_gradients {
                Gradient::Skip
            } else {
                gradient
            }
        };
        Self {
            element: options.element,
            gamma: options.gamma,
            beta: options.beta,
            activation: options.activation,
            residual: options.residual,
            given: !batch,
            pass: Pass::Backward(Gradients {
                derivative: options.derivative,
                input: options.grad_input,
                gamma: parameters(options.grad_gamma),
                beta: parameters(options.grad_beta),
                residual: options.grad_residual,
                given: given_gradients && batch,
            }),
        }
    }

    /// What a forward pass has; nothing of it in a backward pass.
    pub fn forward(&self) -> Forward {
        match self.pass {
            Pass::Forward(forward) => forward,
            Pass::Backward(_) => Forward::default(),
        }
    }

    pub const fn gradients(&self) -> Option<&Gradients> {
        match &self.pass {
            Pass::Forward(_) => None,
            Pass::Backward(gradients) => Some(gradients),
        }
    }

    /// What the gradient of the activation is found from; none in a forward pass, or without activation.
    pub fn evidence(&self) -> Option<Derivative> {
        let gradients = self.gradients()?;
        (self.activation != Activation::None).then_some(gradients.derivative)
    }

    /// Whether the backward pass computes the activation's input again.
    pub fn recomputes(&self) -> bool {
        self.evidence() == Some(Derivative::Input)
    }

    /// Whether the sums over a channel are needed.
    pub fn sums(&self) -> bool {
        self.gradients().is_some_and(|gradients| {
            let through_statistics = !self.given && gradients.input != Gradient::Skip;
            !gradients.given
                && (through_statistics
                    || gradients.gamma != Gradient::Skip
                    || gradients.beta != Gradient::Skip)
        })
    }

    /// Whether tensors of the shape of x are written.
    pub fn writes_values(&self) -> bool {
        match self.pass {
            Pass::Forward(forward) => !forward.to_moments,
            Pass::Backward(gradients) => {
                gradients.input != Gradient::Skip || gradients.residual != Gradient::Skip
            }
        }
    }

    /// Whether a stage has a use for one of its possible tensors.
    pub fn uses(&self, stage: Stage, role: Role) -> bool {
        match self.pass {
            Pass::Forward(forward) => self.forward_uses(forward, role),
            Pass::Backward(gradients) => self.backward_uses(gradients, stage, role),
        }
    }

    fn forward_uses(&self, forward: Forward, role: Role) -> bool {
        match role {
            Role::Gamma => self.gamma,
            Role::Beta => self.beta,
            Role::Residual => self.residual,
            Role::Running => forward.running,
            Role::Saved => forward.saved,
            Role::Shards => forward.from_shards,
            Role::Partials => !forward.from_shards,
            _ => true,
        }
    }

    fn backward_uses(&self, gradients: Gradients, stage: Stage, role: Role) -> bool {
        let is_sums = matches!(stage, Stage::GradientSums | Stage::GradientCoefficients);
        let into_input = gradients.input != Gradient::Skip;
        match role {
            Role::X => {
                let through_statistics = !self.given && into_input;
                let own =
                    is_sums && gradients.gamma != Gradient::Skip || stage.is_all_of_backward();
                self.recomputes() || through_statistics || own
            }
            Role::Y => self.evidence() == Some(Derivative::Output),
            Role::Mask => self.evidence() == Some(Derivative::Mask),
            Role::Residual => self.residual && self.recomputes(),
            Role::Gamma => {
                let scales = stage != Stage::GradientSums && into_input;
                self.gamma && (scales || self.recomputes())
            }
            Role::Beta => self.beta && self.recomputes(),
            Role::Saved => !self.given,
            Role::Mean | Role::Variance => self.given,
            Role::GradInput => into_input,
            Role::GradResidual => gradients.residual != Gradient::Skip,
            Role::GradGamma => gradients.given || gradients.gamma != Gradient::Skip,
            Role::GradBeta => gradients.given || gradients.beta != Gradient::Skip,
            Role::Partials => self.sums(),
            Role::Coefficients => self.writes_values(),
            _ => true,
        }
    }

    /// How a stage writes one of its tensors: over what was there, or added to it.
    pub fn adds(&self, role: Role) -> bool {
        let gradient = self.gradients().map(|gradients| match role {
            Role::GradInput => gradients.input,
            Role::GradResidual => gradients.residual,
            Role::GradGamma => gradients.gamma,
            Role::GradBeta => gradients.beta,
            _ => Gradient::Write,
        });
        gradient == Some(Gradient::Add)
    }

    /// Packed vectors of coefficients that one stage leaves for another.
    pub const fn coefficients(&self) -> u64 {
        match self.pass {
            Pass::Forward(_) => 3,
            Pass::Backward(_) => 5,
        }
    }

    /// Bytes of a partial of one channel in one split: count, frame, mean and M2, or two sums.
    pub const fn partial_bytes(&self) -> u64 {
        match self.pass {
            Pass::Forward(_) => 16,
            Pass::Backward(_) => 8,
        }
    }

    /// Tensors of the shape of x of which a resident kernel holds its part at once; a mask has few bits.
    pub fn held_tensors(&self) -> u64 {
        match self.pass {
            Pass::Forward(_) => 1 + u64::from(self.residual),
            Pass::Backward(_) => self.read_by(Stage::GradientResident),
        }
    }

    /// Tensors of the shape of x that a stage of the backward pass reads.
    fn read_by(&self, stage: Stage) -> u64 {
        let roles = [Role::X, Role::Y, Role::Residual];
        let used = roles.iter().filter(|role| self.uses(stage, **role));
        1 + used.count() as u64
    }

    /// Bytes that a pass over `values` values moves at least: with what it reads kept on chip (`resident`), or read again.
    pub fn minimum_traffic(&self, values: u64, resident: bool) -> u64 {
        let tensors = match self.pass {
            Pass::Forward(forward) if forward.to_moments => u64::from(!forward.from_shards),
            Pass::Forward(forward) => {
                let statistics = u64::from(!self.given && !forward.from_shards && !resident);
                statistics + 2 + u64::from(self.residual) + u64::from(forward.mask)
            }
            Pass::Backward(gradients) => {
                let sums = if self.sums() && !resident {
                    self.read_by(Stage::GradientSums)
                } else {
                    0
                };
                let written = |gradient| match gradient {
                    Gradient::Skip => 0,
                    Gradient::Write => 1,
                    Gradient::Add => 2,
                };
                let input = if resident {
                    self.read_by(Stage::GradientResident)
                } else if self.writes_values() {
                    self.read_by(Stage::GradientInput)
                } else {
                    0
                };
                sums + input + written(gradients.input) + written(gradients.residual)
            }
        };
        let bits = match self.pass {
            Pass::Forward(forward) => u64::from(forward.mask),
            Pass::Backward(_) if self.evidence() == Some(Derivative::Mask) => {
                u64::from(self.sums() && !resident) + u64::from(self.writes_values())
            }
            Pass::Backward(_) => 0,
        };
        tensors * self.element.bytes() * values + bits * values.div_ceil(8)
    }
}
