//! What the reference says a tensor should be, and how far from it the device is.

use wgpu_batchnorm::{Activation, Element};

use super::computation::Layer;
use crate::cli::compare::{Comparison, Tolerance, Worst};

/// What the gradients of the usual tensors are right to, as a share of the largest: f32 arithmetic on every value, where
/// values of that size cancel.
pub const GRADIENTS: f64 = 1e-5;
/// What the result of an activation and of a sum with a residual is right to: the error of the normalized values, and a few
/// roundings more.
pub const FUSED: f64 = 5e-6;

/// What the error of a tensor is counted in.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Unit {
    /// `max(1, |v|)` of each value.
    Value,
    /// The same, for what went through an activation or had a residual added.
    FusedValue,
    /// The largest value of the tensor.
    Largest(f64),
}

/// A tensor of the reference.
#[derive(Clone, Debug)]
pub struct Expected {
    /// What it is called.
    pub name: &'static str,
    /// In f64.
    pub values: Vec<f64>,
    unit: Unit,
    element: Element,
}

/// The largest share of a value that storing it rounds off: half of the last place.
fn rounding(element: Element) -> f64 {
    match element {
        Element::F32 => 0.0,
        Element::F16 => 2.0f64.powi(-11),
        Element::Bf16 => 2.0f64.powi(-8),
    }
}

impl Expected {
    /// A tensor that the device stores so.
    pub const fn new(name: &'static str, values: Vec<f64>, unit: Unit, element: Element) -> Self {
        Self {
            name,
            values,
            unit,
            element,
        }
    }

    /// The output of a layer.
    pub fn output(values: Vec<f64>, layer: Layer) -> Self {
        let unit = if layer.residual || layer.activation != Activation::None {
            Unit::FusedValue
        } else {
            Unit::Value
        };
        Self::new("y", values, unit, layer.element)
    }

    fn tolerance(&self) -> Tolerance {
        let storing = rounding(self.element);
        let sum = |absolute: f64, relative: f64| Tolerance::Sum {
            // A half that is less than normal is rounded to the grid of the smallest ones.
            absolute: absolute + storing * 2.0f64.powi(-14),
            relative: relative + storing,
        };
        match self.unit {
            Unit::Value if self.element == Element::F32 => Tolerance::PROMISE,
            // PROMISE as a sum
            Unit::Value => sum(2e-6, 2e-6),
            Unit::FusedValue => sum(FUSED, FUSED),
            Unit::Largest(largest) => sum(GRADIENTS * largest, 0.0),
        }
    }

    /// The error of the worst value in the tensor's unit, and what is wrong, where something is. Infinite where one of the
    /// two is no number.
    pub fn compare(&self, name: &str, actual: &[f32]) -> (f64, Option<String>) {
        let comparison = Comparison::new(actual, &self.values, self.tolerance());
        let error = comparison.worst.map_or(
            0.0,
            |Worst {
                 error, expected, ..
             }| match self.unit {
                _ if error == 0.0 => 0.0,
                Unit::Value | Unit::FusedValue => error / expected.abs().max(1.0),
                Unit::Largest(largest) => error / largest,
            },
        );
        let wrong = (!comparison.is_within()).then(|| comparison.describe(name));
        (error, wrong)
    }
}

/// All results of a step beside what they should be: the largest error, and what is wrong first.
pub fn compare(expected: &[Expected], results: &[Vec<f32>]) -> (f64, Option<String>) {
    let mut found = (0.0, None);
    for (expected, actual) in expected.iter().zip(results) {
        let (error, wrong) = expected.compare(expected.name, actual);
        found = (f64::max(found.0, error), found.1.or(wrong));
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wrong_value_fails_the_row_by_name() {
        let expected = [Expected::output(vec![-1.0, 1.0], Layer::default())];
        let of = |second: f32| compare(&expected, &[vec![-1.0, second]]);
        assert_eq!(of(1.0), (0.0, None));
        let (error, message) = of(1.001);
        assert!((error - 1e-3).abs() < 1e-6);
        assert!(message.is_some_and(|message| message.contains('y') && message.contains("1.001")));
        assert_eq!(of(f32::NAN).0, f64::INFINITY);
    }

    #[test]
    fn gradients_are_measured_by_the_largest() {
        let unit = Unit::Largest(100.0);
        let expected = [Expected::new("dx", vec![100.0, 0.0], unit, Element::F32)];
        let (error, wrong) = compare(&expected, &[vec![100.0, 0.0009]]);
        assert!((error - 9e-6).abs() < 1e-9 && wrong.is_none());
        let (error, wrong) = compare(&expected, &[vec![100.0, 0.0011]]);
        assert!(error > GRADIENTS && wrong.is_some_and(|wrong| wrong.contains("dx")));
    }

    #[test]
    fn halves_may_be_rounded_once() {
        for (element, half) in [
            (Element::F16, 2.0f32.powi(-11)),
            (Element::Bf16, 2.0f32.powi(-8)),
        ] {
            let layer = Layer {
                element,
                ..Layer::default()
            };
            let expected = [Expected::output(vec![1.0], layer)];
            let wrong = |value: f32| compare(&expected, &[vec![value]]).1;
            assert_eq!(wrong(1.0 + half), None);
            assert!(wrong(1.0 + 1.1 * half).is_some());
        }
    }
}
