//! Whether two tensors agree, and where they differ most.

use std::fmt;

use wgpu_batchnorm::Element;

/// How far a value may be from the expected one.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Tolerance {
    /// `absolute + relative * |expected|`.
    Sum {
        /// What is allowed at an expected value of zero.
        absolute: f64,
        /// What is added per unit of the expected value.
        relative: f64,
    },
    /// `bound * max(1, |expected|)`.
    Scaled(f64),
}

impl Tolerance {
    /// What the library promises of y on every input.
    pub const PROMISE: Self = Self::Scaled(2e-6);

    /// With what rounding to an element adds: half the distance to the next value, of normal and of subnormal numbers. f32
    /// adds nothing, as the tolerance is one of f32.
    pub fn stored_as(self, element: Element) -> Self {
        let (unit, tiny) = match element {
            Element::F32 => return self,
            Element::F16 => (2f64.powi(-11), 2f64.powi(-25)),
            Element::Bf16 => (2f64.powi(-8), 2f64.powi(-134)),
        };
        match self {
            Self::Sum { absolute, relative } => Self::Sum {
                absolute: absolute + tiny,
                relative: relative + unit,
            },
            // At most twice as much, between 0 and 1.
            Self::Scaled(bound) => Self::Sum {
                absolute: bound + tiny,
                relative: bound + unit,
            },
        }
    }

    fn bound(self, expected: f64) -> f64 {
        match self {
            Self::Sum { absolute, relative } => absolute + relative * expected.abs(),
            Self::Scaled(bound) => bound * expected.abs().max(1.0),
        }
    }
}

impl fmt::Display for Tolerance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sum { absolute, relative } => {
                let [absolute, relative] = [*absolute, *relative].map(short);
                write!(f, "{absolute} + {relative} * |expected|")
            }
            Self::Scaled(bound) => write!(f, "{bound:e} * max(1, |expected|)"),
        }
    }
}

/// A number of at most three digits.
fn short(number: f64) -> String {
    let [whole, rounded] = [format!("{number:e}"), format!("{number:.2e}")];
    if whole.len() < rounded.len() {
        whole
    } else {
        rounded
    }
}

/// The value that uses up most of its tolerance.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Worst {
    /// Which value.
    pub index: usize,
    /// What was computed.
    pub actual: f32,
    /// What it should be.
    pub expected: f64,
    /// Their distance; infinite where only one of the two is a number.
    pub error: f64,
    /// The distance over what the tolerance allows.
    pub share: f64,
}

/// Two tensors of one length, compared.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Comparison {
    /// The worst value, where there is any.
    pub worst: Option<Worst>,
    /// How many values are outside the tolerance.
    pub outside: usize,
}

impl Comparison {
    /// Compares value by value. NaN equals NaN, and an infinity itself.
    ///
    /// # Panics
    /// Where the lengths differ: whoever compares has checked them, or made both.
    pub fn new(actual: &[f32], expected: &[f64], tolerance: Tolerance) -> Self {
        assert_eq!(
            actual.len(),
            expected.len(),
            "only tensors of one length are compared"
        );
        let mut worst: Option<Worst> = None;
        let mut outside = 0;
        for (index, (&actual, &expected)) in actual.iter().zip(expected).enumerate() {
            let error = distance(f64::from(actual), expected);
            let bound = tolerance.bound(expected);
            // Also where a bound of zero is met exactly, and where an infinite value makes the bound infinite.
            let share = if error == 0.0 {
                0.0
            } else if error.is_infinite() {
                f64::INFINITY
            } else {
                error / bound
            };
            outside += usize::from(share > 1.0);
            if worst.is_none_or(|worst| share > worst.share) {
                worst = Some(Worst {
                    index,
                    actual,
                    expected,
                    error,
                    share,
                });
            }
        }
        Self { worst, outside }
    }

    /// Whether every value is within the tolerance.
    pub const fn is_within(&self) -> bool {
        self.outside == 0
    }

    /// What is wrong with the tensor of this name, in words.
    pub fn describe(&self, tensor: &str) -> String {
        self.worst.map_or_else(
            || format!("{tensor} is empty"),
            |Worst { index, actual, expected, error, .. }| {
                format!(
                    "{tensor}: {} outside, the worst is value {index}: {actual:?} for {expected:?}, off by {error:.1e}",
                    self.outside
                )
            },
        )
    }

    /// The largest error in units of `max(1, |expected|)`, where the tolerance was [`Tolerance::PROMISE`]; zero for
    /// tensors without values.
    pub fn scaled_error(&self) -> f64 {
        self.worst
            .map_or(0.0, |worst| worst.error / worst.expected.abs().max(1.0))
    }
}

fn distance(actual: f64, expected: f64) -> f64 {
    if actual == expected || (actual.is_nan() && expected.is_nan()) {
        0.0
    } else if actual.is_finite() && expected.is_finite() {
        (actual - expected).abs()
    } else {
        f64::INFINITY
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const EXACT: Tolerance = Tolerance::Sum {
        absolute: 0.0,
        relative: 0.0,
    };

    fn compare(actual: &[f32], expected: &[f64], tolerance: Tolerance) -> Comparison {
        Comparison::new(actual, expected, tolerance)
    }

    #[test]
    fn equal_tensors_agree_to_the_bit() {
        let values = [0.0, -1.5, f32::INFINITY, f32::NAN, f32::NEG_INFINITY];
        let comparison = compare(&values, &values.map(f64::from), EXACT);
        assert!(comparison.is_within());
        assert_eq!(comparison.scaled_error(), 0.0);
        assert!(compare(&[], &[], EXACT).is_within());
    }

    #[test]
    fn one_wrong_value_among_many_is_found() {
        let expected = vec![1.0; 1000];
        let mut actual = vec![1.0; 1000];
        actual[517] = 1.0 + 1e-5;
        let comparison = compare(&actual, &expected, Tolerance::PROMISE);
        assert_eq!(comparison.outside, 1);
        assert_eq!(comparison.worst.map(|worst| worst.index), Some(517));
        assert!((comparison.scaled_error() - 1e-5).abs() < 1e-7);
    }

    #[test]
    fn what_is_not_a_number_is_never_near_one() {
        for (actual, expected) in [
            (f32::NAN, 0.0),
            (0.0, f64::NAN),
            (f32::INFINITY, 1.0),
            (1.0, f64::INFINITY),
            (f32::INFINITY, f64::NEG_INFINITY),
            (f32::NAN, f64::INFINITY),
        ] {
            for tolerance in [
                Tolerance::PROMISE,
                Tolerance::Sum {
                    absolute: 1.0,
                    relative: 1.0,
                },
            ] {
                assert_eq!(
                    compare(&[actual], &[expected], tolerance).outside,
                    1,
                    "{actual} for {expected}"
                );
            }
        }
    }

    #[test]
    fn the_tolerance_is_its_formula() {
        let sum = Tolerance::Sum {
            absolute: 0.5,
            relative: 0.25,
        };
        assert!(compare(&[11.0], &[8.0], sum).is_within() == (3.0 <= 2.5));
        assert!(compare(&[10.5], &[8.0], sum).is_within());
        assert!(compare(&[3.0], &[2.0], Tolerance::Scaled(0.5)).is_within());
        assert!(!compare(&[3.25], &[2.0], Tolerance::Scaled(0.5)).is_within());
        assert!(!compare(&[1.0], &[0.25], Tolerance::Scaled(0.5)).is_within());
    }

    #[test]
    fn halves_may_be_rounded_once_and_no_more() {
        for (element, one_up, tiny) in [
            (Element::F16, 1.0 + 2f32.powi(-10), 2f32.powi(-24)),
            (Element::Bf16, 1.0 + 2f32.powi(-7), 0.0),
        ] {
            let tolerance = EXACT.stored_as(element);
            let halfway = f64::midpoint(1.0, one_up.into());
            assert!(compare(&[one_up], &[halfway], tolerance).is_within());
            assert!(compare(&[1.0], &[halfway], tolerance).is_within());
            assert!(!compare(&[one_up], &[1.0], tolerance).is_within());
            assert!(compare(&[tiny], &[f64::from(tiny) / 2.0], tolerance).is_within());
        }
        assert_eq!(EXACT.stored_as(Element::F32), EXACT);
        let text = Tolerance::PROMISE.stored_as(Element::F16).to_string();
        assert_eq!(text, "2.03e-6 + 4.90e-4 * |expected|");
    }
}
