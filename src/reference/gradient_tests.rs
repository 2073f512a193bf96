use super::*;
use crate::options::{Backward, DEFAULT_EPSILON, Statistics};

fn shape(outer: u64, channels: u64, inner: u64) -> Shape {
    Shape::from_geometry(outer, channels, inner).expect("a small shape")
}

fn assert_near(what: &str, given: &[f64], wanted: &[f64], tolerance: f64) {
    assert_eq!(given.len(), wanted.len(), "{what}");
    let largest = wanted.iter().fold(1f64, |largest, v| largest.max(v.abs()));
    for (index, (given, wanted)) in given.iter().zip(wanted).enumerate() {
        let distance = (given - wanted).abs();
        assert!(
            distance <= tolerance * largest,
            "{what} {index}: {given}, not {wanted}"
        );
    }
}

/// Every activation, leaky ReLU also with a slope that is negative.
fn activations() -> impl Iterator<Item = Activation> {
    let falling = Activation::LeakyRelu { slope: -0.5 };
    Activation::all(0.25).into_iter().chain([falling])
}

#[test]
fn two_values_have_the_gradients_computed_by_hand() {
    // Mean 2, variance 1 and epsilon 3 make xhat -1/2 and 1/2, and gamma * invstd 1.
    let (x, dy, shape) = ([1.0, 3.0], [1.0, 5.0], shape(2, 1, 1));
    let parameters = Parameters::new(&[2.0], &[0.25]);
    let options = Backward::default().epsilon(3.0);
    let gradients = backward(&x, &dy, None, shape, parameters, None, &options).expect("all fits");
    assert_eq!((gradients.beta[0], gradients.gamma[0]), (6.0, 2.0));
    assert_eq!(gradients.input, [-1.5, 1.5]);
    assert_eq!(gradients.residual, [1.0, 5.0]);

    // z is -1/4 and 3/4: the first is cut off.
    let residual = Some(&[0.5, -0.5][..]);
    let options = options.activation(Activation::Relu).residual(true);
    let gradients =
        backward(&x, &dy, residual, shape, parameters, None, &options).expect("all fits");
    assert_eq!((gradients.beta[0], gradients.gamma[0]), (5.0, 2.5));
    assert_eq!(gradients.input, [-1.875, 1.875]);
    assert_eq!(gradients.residual, [0.0, 5.0]);

    // Around 1, xhat is 0 and 1, and z is 3/4 and 7/4.
    let fixed = FixedStatistics {
        mean: &[1.0],
        variance: &[1.0],
    };
    let options = options.statistics(Statistics::Fixed);
    let gradients =
        backward(&x, &dy, residual, shape, parameters, Some(fixed), &options).expect("all fits");
    assert_eq!((gradients.beta[0], gradients.gamma[0]), (6.0, 5.0));
    assert_eq!(gradients.input, [1.0, 5.0]);
}

/// A layer whose values are all multiples of 1/64, so that a small step from any of them is exact.
#[derive(Clone)]
struct Problem {
    shape: Shape,
    activation: Activation,
    x: Vec<f32>,
    residual: Option<Vec<f32>>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    fixed: Option<[Vec<f32>; 2]>,
    /// The weight of each y in the loss, so the gradient of the loss by y.
    dy: Vec<f32>,
}

impl Problem {
    fn new(shape: Shape, activation: Activation, residual: bool, fixed: bool) -> Self {
        let mut state = 1u32;
        let mut values = |len: u64, low: i32, high: i32| -> Vec<f32> {
            let mut value = || {
                state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low as f32 + ((state >> 16) % (64 * (high - low) as u32)) as f32 / 64.0
            };
            (0..len).map(|_| value()).collect()
        };
        let (len, channels) = (shape.len(), shape.channels());
        let mut problem = Self {
            shape,
            activation,
            x: values(len, -2, 3),
            residual: residual.then(|| values(len, -1, 1)),
            // So wide that some of z is beyond 6.
            gamma: values(channels, 4, 6),
            beta: values(channels, 0, 2),
            fixed: fixed.then(|| [values(channels, -1, 1), values(channels, 1, 3)]),
            dy: values(len, -1, 1),
        };
        // A value beside a corner of the activation has no say: its step would cross the corner.
        let z = problem.with_activation(Activation::None).y();
        for (dy, z) in problem.dy.iter_mut().zip(z) {
            if z.abs() < 0.01 || (z - 6.0).abs() < 0.01 {
                *dy = 0.0;
            }
        }
        problem
    }

    fn with_activation(&self, activation: Activation) -> Self {
        Self {
            activation,
            ..self.clone()
        }
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters::new(&self.gamma, &self.beta)
    }

    fn y(&self) -> Vec<f64> {
        let residual = self.residual.as_deref();
        let (x, shape, parameters) = (&self.x, self.shape, self.parameters());
        match &self.fixed {
            Some([mean, variance]) => {
                let options = Inference::default()
                    .activation(self.activation)
                    .residual(residual.is_some());
                inference(x, residual, shape, parameters, mean, variance, &options)
                    .expect("all fits")
            }
            None => {
                let options = Training::default()
                    .running(None)
                    .activation(self.activation)
                    .residual(residual.is_some());
                training(x, residual, shape, parameters, &options, None)
                    .expect("all fits")
                    .y
            }
        }
    }

    fn loss(&self) -> f64 {
        let y = self.y();
        y.iter()
            .zip(&self.dy)
            .map(|(y, dy)| y * f64::from(*dy))
            .sum()
    }

    /// The gradient of the loss by each value of a vector, from two losses beside it.
    fn differences(&self, of: impl Fn(&mut Self) -> &mut Vec<f32>) -> Vec<f64> {
        const STEP: f32 = 1.0 / 16384.0;
        let mut problem = self.clone();
        (0..of(&mut problem).len())
            .map(|index| {
                let mut beside = |step: f32| {
                    let before = of(&mut problem)[index];
                    of(&mut problem)[index] = before + step;
                    let loss = problem.loss();
                    of(&mut problem)[index] = before;
                    loss
                };
                (beside(STEP) - beside(-STEP)) / f64::from(2.0 * STEP)
            })
            .collect()
    }

    fn gradients(&self) -> Gradients {
        let options = Backward::default()
            .activation(self.activation)
            .residual(self.residual.is_some())
            .statistics(match self.fixed {
                Some(_) => Statistics::Fixed,
                None => Statistics::Batch,
            });
        let fixed =
            (self.fixed.as_ref()).map(|[mean, variance]| FixedStatistics { mean, variance });
        let residual = self.residual.as_deref();
        backward(
            &self.x,
            &self.dy,
            residual,
            self.shape,
            self.parameters(),
            fixed,
            &options,
        )
        .expect("all fits")
    }
}

#[test]
fn gradients_are_the_slopes_of_the_forward_pass() {
    // The square of the step, 4e-9, times a sixth of the third derivative, and 1e-15 of the loss divided by the step.
    const TOLERANCE: f64 = 1e-7;
    for shape in [shape(2, 3, 4), shape(12, 2, 1), shape(1, 3, 9)] {
        for activation in activations() {
            for (residual, fixed) in [(false, false), (true, false), (false, true), (true, true)] {
                let problem = Problem::new(shape, activation, residual, fixed);
                let gradients = problem.gradients();
                let check = |what: &str, given: &[f64], wanted: Vec<f64>| {
                    let what = format!(
                        "{shape}, {activation:?}, residual {residual}, fixed {fixed}: {what}"
                    );
                    assert_near(&what, given, &wanted, TOLERANCE);
                };
                check("dx", &gradients.input, problem.differences(|p| &mut p.x));
                check(
                    "dgamma",
                    &gradients.gamma,
                    problem.differences(|p| &mut p.gamma),
                );
                check(
                    "dbeta",
                    &gradients.beta,
                    problem.differences(|p| &mut p.beta),
                );
                if residual {
                    check(
                        "d_residual",
                        &gradients.residual,
                        problem.differences(|p| p.residual.as_mut().expect("a residual")),
                    );
                }
            }
        }
    }
}

#[test]
fn shards_of_a_batch_have_the_gradients_of_the_whole() {
    let problem = Problem::new(shape(6, 3, 4), Activation::Silu, true, false);
    let whole = problem.gradients();
    let residual = problem.residual.as_deref().expect("a residual");

    // Two slices to the first device and four to the second.
    let cut = 2 * 3 * 4;
    let shards = [(shape(2, 3, 4), 0..cut), (shape(4, 3, 4), cut..3 * cut)];
    let moments = shards
        .clone()
        .map(|(shape, range)| statistics(&problem.x[range], shape).expect("all fits"));
    let merged: Vec<Moments> = (moments[0].iter().zip(&moments[1]))
        .map(|(a, b)| a.merge(*b))
        .collect();
    let finalized =
        finalize(&merged, problem.parameters(), DEFAULT_EPSILON, None).expect("all fits");

    let g = shards.clone().map(|(shape, range)| {
        let (x, dy) = (&problem.x[range.clone()], &problem.dy[range.clone()]);
        let residual = Some(&residual[range]);
        gradient_preactivation(x, dy, residual, shape, &finalized, Activation::Silu)
            .expect("all fits")
    });
    let sums = [0, 1].map(|index| {
        let (shape, range) = shards[index].clone();
        gradient_sums(&problem.x[range], &g[index], shape, &finalized).expect("all fits")
    });
    let sums: Vec<GradientSums> = (sums[0].iter().zip(&sums[1]))
        .map(|(a, b)| a.merge(*b))
        .collect();
    let input: Vec<f64> = [0, 1]
        .iter()
        .flat_map(|&index| {
            let (shape, range) = shards[index].clone();
            let x = &problem.x[range];
            gradient_input(x, &g[index], shape, &finalized, Some(&sums)).expect("all fits")
        })
        .collect();

    assert_near("dx", &input, &whole.input, 1e-13);
    let gamma: Vec<f64> = sums.iter().map(|sums| sums.g_xhat).collect();
    assert_near("dgamma", &gamma, &whole.gamma, 1e-13);
    assert_near("d_residual", &g.concat(), &whole.residual, 1e-13);
}

#[test]
fn activations_have_the_values_of_tables() {
    let near = |activation, z, wanted: f64| {
        let given = activate(activation, z);
        assert!(
            (given - wanted).abs() <= 1e-14 * wanted.abs(),
            "{activation:?} of {z} is {given}, not {wanted}"
        );
    };
    near(Activation::Silu, 1.0, 0.731_058_578_630_004_9);
    near(Activation::Gelu, 1.0, 0.841_344_746_068_542_9);
    // Where one plus the error function keeps no digit.
    near(Activation::Gelu, -10.0, -7.619_853_024_160_527e-23);
    near(Activation::GeluTanh, 1.0, 0.841_191_990_608_276_8);
    near(Activation::Relu6, 6.5, 6.0);
    near(Activation::LeakyRelu { slope: -0.5 }, -3.0, 1.5);
}

#[test]
fn corners_and_nans_are_pytorchs() {
    let (relu, relu6) = (Activation::Relu, Activation::Relu6);
    let leaky = Activation::LeakyRelu { slope: 0.5 };
    for (activation, z, wanted) in [
        (relu, 0.0, 0.0),
        (relu, -0.0, 0.0),
        (relu, f64::MIN_POSITIVE, 3.0),
        (relu, f64::NAN, 3.0),
        (relu6, 0.0, 0.0),
        (relu6, 6.0, 0.0),
        (relu6, 5.999, 3.0),
        (relu6, f64::NAN, 3.0),
        (leaky, 0.0, 1.5),
        (leaky, 1e-9, 3.0),
        (leaky, f64::NAN, 1.5),
    ] {
        assert_eq!(
            activation_gradient(activation, z, 3.0),
            wanted,
            "{activation:?} of {z}"
        );
    }
    assert_eq!(activation_gradient(relu, -1.0, f64::NAN), 0.0);
    for activation in activations() {
        assert!(activate(activation, f64::NAN).is_nan(), "{activation:?}");
    }
}

#[test]
fn an_empty_batch_has_gradients_of_zero() {
    for shape in [shape(0, 3, 5), shape(5, 3, 0)] {
        let (gamma, beta) = ([1.0; 3], [0.0; 3]);
        let parameters = Parameters::new(&gamma, &beta);
        let gradients = backward(
            &[],
            &[],
            None,
            shape,
            parameters,
            None,
            &Backward::default(),
        )
        .expect("an empty batch is a batch");
        assert_eq!(
            (gradients.gamma, gradients.beta),
            (vec![0.0; 3], vec![0.0; 3])
        );
        assert!(gradients.input.is_empty() && gradients.residual.is_empty());
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error() {
    let (x, dy, shape, bare) = ([1.0; 6], [1.0; 6], shape(3, 2, 1), Parameters::default());
    let plain = Backward::default().gamma(false).beta(false);
    let gradients = |dy: &[f32], residual, parameters, fixed, options: &Backward| {
        backward(&x, dy, residual, shape, parameters, fixed, options).map(|_| ())
    };
    let missing = |what| Err(HostError::Missing { what });
    let unexpected = |what| Err(HostError::Unexpected { what });
    let wrong = |what, given, needed| {
        Err(HostError::Length(LengthError {
            what,
            given,
            needed,
        }))
    };
    assert_eq!(
        gradients(&dy[1..], None, bare, None, &plain),
        wrong("dy", 5, 6)
    );
    let residual = Some(&x[1..]);
    assert_eq!(
        gradients(&dy, residual, bare, None, &plain),
        unexpected("a residual")
    );
    let added = plain.clone().residual(true);
    assert_eq!(
        gradients(&dy, residual, bare, None, &added),
        wrong("residual", 5, 6)
    );
    let activated = added.clone().beta(true).activation(Activation::Relu);
    assert_eq!(
        gradients(&dy, Some(&x), bare, None, &activated),
        missing("beta")
    );
    let activated = activated.beta(false);
    assert_eq!(
        gradients(&dy, None, bare, None, &activated),
        missing("a residual")
    );
    // What only an activation reads may be left out without one.
    assert_eq!(gradients(&dy, None, bare, None, &added.beta(true)), Ok(()));

    let mean = [0.0; 2];
    let fixed = |variance| {
        Some(FixedStatistics {
            mean: &mean,
            variance,
        })
    };
    assert_eq!(
        gradients(&dy, None, bare, fixed(&[1.0; 2]), &plain),
        unexpected("mean and variance")
    );
    let frozen = plain.clone().statistics(Statistics::Fixed);
    assert_eq!(
        gradients(&dy, None, bare, None, &frozen),
        missing("mean and variance")
    );
    assert_eq!(
        gradients(&dy, None, bare, fixed(&[1.0; 3]), &frozen),
        wrong("variance", 3, 2)
    );
    assert_eq!(
        gradients(&dy, None, bare, None, &plain.epsilon(-1.0)),
        Err(HostError::Epsilon { epsilon: -1.0 })
    );
}
