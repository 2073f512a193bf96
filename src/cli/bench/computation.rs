//! What is computed: which operation, of which layer.

use std::fmt;

use clap::ValueEnum;
use clap::builder::{PossibleValuesParser, TypedValueParser};
pub use wgpu_batchnorm::Operation;
use wgpu_batchnorm::{Activation, Element};

/// Which operations to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Operations {
    /// Normalizing by running statistics
    Inference,
    /// Normalizing by the batch's own statistics
    Training,
    /// The gradients of input, gamma and beta, after training
    Backward,
    /// The three of them
    All,
}

impl Operations {
    /// The operations, one by one.
    pub const fn list(self) -> &'static [Operation] {
        match self {
            Self::Inference => &[Operation::Inference],
            Self::Training => &[Operation::Training],
            Self::Backward => &[Operation::Backward],
            Self::All => &Operation::ALL,
        }
    }
}

/// Which elements to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Elements {
    /// IEEE 754 binary32
    F32,
    /// IEEE 754 binary16, on the device alone
    F16,
    /// The upper half of binary32, on the device alone
    Bf16,
    /// The three of them
    All,
}

impl Elements {
    /// The elements, one by one.
    pub const fn list(self) -> &'static [Element] {
        match self {
            Self::F32 => &[Element::F32],
            Self::F16 => &[Element::F16],
            Self::Bf16 => &[Element::Bf16],
            Self::All => &Element::ALL,
        }
    }
}

/// PyTorch's slope of leaky ReLU.
const PYTORCH_SLOPE: f32 = 0.01;

/// Reads the name of an activation.
pub fn activation_parser() -> impl TypedValueParser<Value = Activation> {
    PossibleValuesParser::new(Activation::all(PYTORCH_SLOPE).map(Activation::name)).map(|name| {
        let named = Activation::all(PYTORCH_SLOPE)
            .into_iter()
            .find(|activation| activation.name() == name);
        named.expect("the parser knows these names only")
    })
}

/// A layer, as far as it makes a difference to what is moved.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Layer {
    /// What the tensors of the shape of x are stored as.
    pub element: Element,
    /// What is applied to the normalized values.
    pub activation: Activation,
    /// Whether a residual is added before.
    pub residual: bool,
}

impl Layer {
    /// What it does beside normalizing, in a few words; none where that is nothing.
    pub fn fused(&self) -> Option<String> {
        describe_fused(self.residual, self.activation.name())
    }
}

/// What a layer does beside normalizing, by the name of its activation.
pub fn describe_fused(residual: bool, activation: &str) -> Option<String> {
    let activation = (activation != Activation::None.name()).then_some(activation);
    match (residual, activation) {
        (false, None) => None,
        (false, Some(activation)) => Some(activation.to_owned()),
        (true, None) => Some("residual".to_owned()),
        (true, Some(activation)) => Some(format!("residual, {activation}")),
    }
}

/// An operation of a layer.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Computation {
    /// What is computed.
    pub operation: Operation,
    /// Of what.
    pub layer: Layer,
}

impl Computation {
    /// In a table of 80 columns, under a heading that names what is fused.
    pub fn short(&self) -> String {
        self.with_element(match self.operation {
            Operation::Inference => "infer",
            Operation::Training => "train",
            Operation::Backward => "back",
        })
    }

    /// A name with the element, where that is not the usual one.
    pub fn with_element(&self, name: &str) -> String {
        match self.layer.element {
            Element::F32 => name.to_owned(),
            element => format!("{name} {}", element.name()),
        }
    }
}

impl fmt::Display for Computation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.operation, self.layer.element.name())?;
        match self.layer.fused() {
            Some(fused) => write!(f, " ({fused})"),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_computation_is_named_by_what_is_unusual() {
        let mut computation = Computation {
            operation: Operation::Backward,
            layer: Layer::default(),
        };
        assert_eq!(computation.to_string(), "backward f32");
        assert_eq!(computation.short(), "back");
        computation.layer = Layer {
            element: Element::Bf16,
            activation: Activation::Relu,
            residual: true,
        };
        assert_eq!(computation.to_string(), "backward bf16 (residual, relu)");
        assert_eq!(computation.short(), "back bf16");
    }

    #[test]
    fn every_activation_has_its_name() {
        let names: std::collections::HashSet<_> =
            Activation::all(PYTORCH_SLOPE).map(Activation::name).into();
        assert_eq!(names.len(), Activation::all(PYTORCH_SLOPE).len());
    }
}
