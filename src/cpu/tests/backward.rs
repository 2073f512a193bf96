use super::super::state::split;
use super::*;
use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::options::{Backward, Gradient, Inference, Statistics};

/// A layer and the gradient of its output.
struct Problem {
    shape: Shape,
    options: Backward,
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    /// Mean, remainder and inverse standard deviation of x.
    saved: [Vec<f32>; 3],
    /// Mean and variance.
    fixed: [Vec<f32>; 2],
}

impl Problem {
    fn new(shape: Shape, options: Backward, x: Vec<f32>, seed: u32) -> Self {
        let channels = shape.channels() as usize;
        let forward = reference::training(
            &x,
            None,
            shape,
            Parameters::default(),
            &bare().epsilon(options.epsilon),
            None,
        )
        .expect("all fits");
        let (hi, lo): (Vec<f32>, Vec<f32>) = forward.mean.iter().copied().map(split).unzip();
        let of = |vector: &[f64], factor: f64| -> Vec<f32> {
            vector.iter().map(|value| (value * factor) as f32).collect()
        };
        let mut problem = Self {
            dy: noise(x.len(), 0.1, 1.0, seed ^ 1),
            residual: noise(x.len(), 0.5, 1.0, seed ^ 2),
            // So that a part of z is beyond 6.
            gamma: noise(channels, 3.0, 0.5, seed ^ 3),
            beta: noise(channels, 1.0, 0.5, seed ^ 4),
            fixed: [of(&forward.mean, 1.0), of(&forward.variance, 1.2)],
            saved: [hi, lo, of(&forward.invstd, 1.0)],
            shape,
            options,
            x,
        };
        if problem.options.activation != Activation::None {
            // Where rounding decides on which side of a corner z is, the gradient has no say.
            let z = problem.forward(Activation::None);
            for (dy, z) in problem.dy.iter_mut().zip(z) {
                if z.abs() < 1e-3 || (z - 6.0).abs() < 1e-3 {
                    *dy = 0.0;
                }
            }
        }
        problem
    }

    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            gamma: self.options.gamma.then_some(&self.gamma[..]),
            beta: self.options.beta.then_some(&self.beta[..]),
        }
    }

    fn residual(&self) -> Option<&[f32]> {
        self.options.residual.then_some(&self.residual[..])
    }

    fn fixed(&self) -> FixedStatistics<'_> {
        let [mean, variance] = &self.fixed;
        FixedStatistics { mean, variance }
    }

    fn training(&self, activation: Activation) -> Training {
        let Backward {
            epsilon,
            gamma,
            beta,
            residual,
            ..
        } = self.options;
        bare()
            .epsilon(epsilon)
            .gamma(gamma)
            .beta(beta)
            .residual(residual)
            .activation(activation)
    }

    fn inference(&self, activation: Activation) -> Inference {
        let training = self.training(activation);
        Inference::default()
            .epsilon(training.epsilon)
            .gamma(training.gamma)
            .beta(training.beta)
            .residual(training.residual)
            .activation(activation)
    }

    /// The forward pass in f64.
    fn forward(&self, activation: Activation) -> Vec<f64> {
        let (x, residual, parameters) = (&self.x, self.residual(), self.parameters());
        match self.options.statistics {
            Statistics::Batch => {
                let options = self.training(activation);
                reference::training(x, residual, self.shape, parameters, &options, None)
                    .expect("all fits")
                    .y
            }
            Statistics::Fixed => {
                let FixedStatistics { mean, variance } = self.fixed();
                let options = self.inference(activation);
                reference::inference(
                    x, residual, self.shape, parameters, mean, variance, &options,
                )
                .expect("all fits")
            }
        }
    }

    fn normalized_by(&self) -> NormalizedBy<'_> {
        match self.options.statistics {
            Statistics::Batch => {
                let [mean, remainder, invstd] = &self.saved;
                NormalizedBy::Batch(Saved {
                    mean,
                    remainder,
                    invstd,
                })
            }
            Statistics::Fixed => NormalizedBy::Fixed(self.fixed()),
        }
    }

    fn exact(&self) -> reference::Gradients {
        let fixed = (self.options.statistics == Statistics::Fixed).then(|| self.fixed());
        reference::backward(
            &self.x,
            &self.dy,
            self.residual(),
            self.shape,
            self.parameters(),
            fixed,
            &self.options,
        )
        .expect("all fits")
    }

    /// The gradients that the options ask for, each from `before` on.
    fn run(&self, pass: Pass, before: f32) -> Given {
        let (len, channels) = (self.x.len(), self.gamma.len());
        let mut given = Given::default();
        let room = |gradient, len| match gradient {
            Gradient::Skip => vec![],
            _ => vec![before; len],
        };
        given.input = room(self.options.grad_input, len);
        given.gamma = room(self.options.grad_gamma, channels);
        given.beta = room(self.options.grad_beta, channels);
        given.residual = room(self.options.grad_residual, len);
        fn some(gradient: Gradient, values: &mut [f32]) -> Option<&mut [f32]> {
            (gradient != Gradient::Skip).then_some(values)
        }
        let gradients = GradientsMut {
            input: some(self.options.grad_input, &mut given.input),
            gamma: some(self.options.grad_gamma, &mut given.gamma),
            beta: some(self.options.grad_beta, &mut given.beta),
            residual: some(self.options.grad_residual, &mut given.residual),
        };
        pass(
            &self.x,
            &self.dy,
            self.residual(),
            self.shape,
            self.parameters(),
            self.normalized_by(),
            &self.options,
            gradients,
        )
        .expect("all fits");
        given
    }

    /// How far the gradients of a pass are off, as shares of the largest: the worst of all.
    fn distance(&self, pass: Pass) -> f64 {
        let (given, exact) = (self.run(pass, f32::NAN), self.exact());
        // A sum of many terms that cancel is as good as its terms.
        let deviations = reference::training(
            &self.x,
            None,
            self.shape,
            Parameters::default(),
            &bare().epsilon(self.options.epsilon),
            None,
        );
        let terms: f64 = (self.dy.iter().zip(&deviations.expect("all fits").y))
            .map(|(dy, xhat)| f64::from(dy.abs()) * xhat.abs().max(1.0))
            .sum();
        let terms = terms / self.shape.channels() as f64;
        let part = |given: &[f32], exact: &[f64], least: f64| {
            if given.is_empty() {
                return 0.0;
            }
            let largest = exact
                .iter()
                .fold(least, |most, value| most.max(value.abs()));
            let worst = (given.iter().zip(exact)).fold(0.0, |worst: f64, (&given, exact)| {
                let distance = (f64::from(given) - exact).abs();
                if distance.is_nan() {
                    f64::INFINITY
                } else {
                    worst.max(distance)
                }
            });
            worst / largest
        };
        part(&given.input, &exact.input, 0.0)
            .max(part(&given.residual, &exact.residual, 0.0))
            .max(part(&given.gamma, &exact.gamma, terms))
            .max(part(&given.beta, &exact.beta, terms))
    }
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Given {
    input: Vec<f32>,
    gamma: Vec<f32>,
    beta: Vec<f32>,
    residual: Vec<f32>,
}

/// A backward pass, as written here or as a textbook has it.
type Pass = fn(
    &[f32],
    &[f32],
    Option<&[f32]>,
    Shape,
    Parameters<'_>,
    NormalizedBy<'_>,
    &Backward,
    GradientsMut<'_>,
) -> Result<(), HostError>;

/// f32 arithmetic on every value, where values of the largest gradient's size cancel.
const TOLERANCE: f64 = 1e-5;

fn with_residual() -> Backward {
    Backward::default()
        .residual(true)
        .grad_residual(Gradient::Write)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]

    #[test]
    fn gradients_agree_with_the_reference(
        shape in shapes(),
        seed in any::<u32>(),
        (mean, deviation) in prop::sample::select(vec![(0f32, 1f32), (-3.0, 0.1), (1e4, 0.01), (1e6, 1.0)]),
        activation in prop::sample::select(Activation::all(-0.5).to_vec()),
        (gamma, beta, residual, fixed) in any::<(bool, bool, bool, bool)>(),
        skipped in 0u32..16,
    ) {
        // Two values that are nearly equal have gradients that cancel to nothing.
        prop_assume!(shape.values_per_channel() > 3);
        let write = |there: bool, bit: u32| if there && skipped & bit == 0 {
            Gradient::Write
        } else {
            Gradient::Skip
        };
        let options = Backward::default()
            .statistics(if fixed { Statistics::Fixed } else { Statistics::Batch })
            .gamma(gamma)
            .beta(beta)
            .residual(residual)
            .activation(activation)
            .grad_input(write(true, 1))
            .grad_gamma(write(true, 2))
            .grad_beta(write(true, 4))
            .grad_residual(write(residual, 8));
        prop_assume!(skipped & 7 != 7);
        let x = noise(shape.len() as usize, mean, deviation, seed);
        let problem = Problem::new(shape, options, x, seed);
        let distance = problem.distance(backward);
        prop_assert!(distance <= TOLERANCE, "{distance:e} off");
    }

    #[test]
    fn the_forward_pass_adds_the_residual_and_applies_the_activation(
        shape in shapes(),
        seed in any::<u32>(),
        activation in prop::sample::select(Activation::all(-0.5).to_vec()),
        residual in any::<bool>(),
    ) {
        prop_assume!(shape.values_per_channel() > 1);
        for statistics in [Statistics::Batch, Statistics::Fixed] {
            let options = Backward::default().residual(residual).statistics(statistics);
            let x = noise(shape.len() as usize, 2.0, 1.0, seed);
            let problem = Problem::new(shape, options, x, seed);
            let wanted = problem.forward(activation);
            for textbook in [false, true] {
                let y = problem.y(activation, textbook);
                let tolerance = if textbook { 1e-3 } else { 4.0 * super::TOLERANCE };
                prop_assert!(distance(&y, &wanted) <= tolerance);
            }
        }
    }
}

impl Problem {
    /// The forward pass on the processor.
    fn y(&self, activation: Activation, textbook: bool) -> Vec<f32> {
        let mut y = vec![f32::NAN; self.x.len()];
        let (x, residual) = (&self.x, self.residual());
        let (shape, parameters) = (self.shape, self.parameters());
        match self.options.statistics {
            Statistics::Batch => {
                let pass = if textbook {
                    textbook_training
                } else {
                    training
                };
                let options = self.training(activation);
                pass(x, residual, &mut y, shape, parameters, &options, None, None)
            }
            Statistics::Fixed => {
                let pass = if textbook {
                    textbook_inference
                } else {
                    inference
                };
                let FixedStatistics { mean, variance } = self.fixed();
                let options = self.inference(activation);
                pass(
                    x, residual, &mut y, shape, parameters, mean, variance, &options,
                )
            }
        }
        .expect("all fits");
        y
    }
}

#[test]
fn large_means_lose_nothing_of_the_gradients() {
    for shape in geometries() {
        for (mean, deviation) in [(0.0, 1.0), (1e4, 0.01), (1e6, 1.0), (-1e6, 0.1)] {
            let x = noise(shape.len() as usize, mean, deviation, 1);
            let problem = Problem::new(shape, Backward::default(), x, 1);
            let distance = problem.distance(backward);
            assert!(
                distance <= TOLERANCE,
                "{shape}: {mean} +- {deviation} is {distance:e} off"
            );
        }
    }
}

#[test]
fn a_large_mean_of_the_gradient_is_taken_from_it_whole() {
    // Products of 1e4 and a deviation are rounded to f32; a center of f32 alone would be 2e-4 off.
    const TOLERANCE: f64 = 1.5e-4;
    for shape in [shape(16, 4, 3136), shape(3136 * 16, 4, 1)] {
        let x = noise(shape.len() as usize, 0.0, 1.0, 9);
        let mut problem = Problem::new(shape, Backward::default(), x, 9);
        // Sixteenths, whose sums in a block are exact.
        for dy in &mut problem.dy {
            *dy = 1e4 + (16.0 * *dy).round() / 16.0;
        }
        let distance = problem.distance(backward);
        assert!(distance <= TOLERANCE, "{shape}: {distance:e} off");
    }
}

#[test]
fn the_comparison_can_fail() {
    let shape = shape(16, 4, 3136);
    let x = noise(shape.len() as usize, 1e4, 0.01, 1);
    let problem = Problem::new(shape, Backward::default(), x, 1);
    assert!(problem.distance(textbook_backward) > 10.0 * TOLERANCE);
}

#[test]
fn the_textbook_agrees_where_the_input_is_easy() {
    for shape in [shape(4, 3, 50), shape(200, 3, 1)] {
        for statistics in [Statistics::Batch, Statistics::Fixed] {
            for activation in Activation::all(-0.5) {
                let x = noise(shape.len() as usize, 0.5, 1.0, 2);
                let options = with_residual()
                    .activation(activation)
                    .statistics(statistics);
                let distance = Problem::new(shape, options, x, 2).distance(textbook_backward);
                assert!(
                    distance <= TOLERANCE,
                    "{shape}, {activation:?}: {distance:e} off"
                );
            }
        }
    }
}

#[test]
fn what_is_skipped_changes_nothing_else() {
    for shape in [shape(7, 5, 40), shape(300, 5, 1)] {
        for statistics in [Statistics::Batch, Statistics::Fixed] {
            let x = noise(shape.len() as usize, 1.0, 1.0, 3);
            let options = with_residual()
                .activation(Activation::Silu)
                .statistics(statistics);
            let mut problem = Problem::new(shape, options, x, 3);
            let all = problem.run(backward, f32::NAN);
            for kept in 0..4 {
                let gradient = |index| {
                    if index == kept {
                        Gradient::Write
                    } else {
                        Gradient::Skip
                    }
                };
                problem.options = with_residual()
                    .activation(Activation::Silu)
                    .statistics(statistics)
                    .grad_input(gradient(0))
                    .grad_gamma(gradient(1))
                    .grad_beta(gradient(2))
                    .grad_residual(gradient(3));
                let one = problem.run(backward, f32::NAN);
                let (one, all) = match kept {
                    0 => (one.input, &all.input),
                    1 => (one.gamma, &all.gamma),
                    2 => (one.beta, &all.beta),
                    _ => (one.residual, &all.residual),
                };
                assert_eq!(one, *all, "{shape}, {statistics:?}, gradient {kept}");
            }
        }
    }
}

#[test]
fn gradients_are_added_to_what_was_there() {
    for pass in [backward as Pass, textbook_backward] {
        for shape in [shape(7, 5, 40), shape(300, 5, 1), shape(3, 512, 33)] {
            for statistics in [Statistics::Batch, Statistics::Fixed] {
                let x = noise(shape.len() as usize, 1.0, 1.0, 4);
                let options = with_residual().statistics(statistics);
                let mut problem = Problem::new(shape, options, x, 4);
                let written = problem.run(pass, f32::NAN);
                problem.options = with_residual()
                    .statistics(statistics)
                    .grad_input(Gradient::Add)
                    .grad_gamma(Gradient::Add)
                    .grad_beta(Gradient::Add)
                    .grad_residual(Gradient::Add);
                let added = problem.run(pass, 100.0);
                let check = |added: &[f32], written: &[f32], roundings: f32| {
                    for (added, written) in added.iter().zip(written) {
                        let wanted = 100.0 + written;
                        let tolerance = roundings * f32::EPSILON * wanted.abs();
                        assert!((added - wanted).abs() <= tolerance, "{added}, not {wanted}");
                    }
                };
                check(&added.input, &written.input, 0.0);
                check(&added.residual, &written.residual, 0.0);
                // The sums are wider than f32 and rounded after the addition.
                check(&added.gamma, &written.gamma, 2.0);
                check(&added.beta, &written.beta, 2.0);
            }
        }
    }
}

#[test]
fn an_empty_batch_has_gradients_of_zero() {
    for pass in [backward as Pass, textbook_backward] {
        for shape in [shape(0, 3, 5), shape(5, 3, 0)] {
            let mut problem = Problem::new(shape, Backward::default(), vec![], 5);
            let given = problem.run(pass, f32::NAN);
            assert_eq!((given.gamma, given.beta), (vec![0.0; 3], vec![0.0; 3]));
            problem.options = Backward::default()
                .grad_gamma(Gradient::Add)
                .grad_beta(Gradient::Add);
            let given = problem.run(pass, 7.0);
            assert_eq!((given.gamma, given.beta), (vec![7.0; 3], vec![7.0; 3]));
        }
    }
}

#[test]
fn the_number_of_threads_does_not_change_a_bit() {
    for shape in geometries() {
        for activation in [Activation::None, Activation::Relu] {
            let x = noise(shape.len() as usize, 10.0, 1.0, 6);
            let options = with_residual().activation(activation);
            let problem = Problem::new(shape, options, x, 6);
            let on_threads = |threads| {
                let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build();
                (pool.expect("threads")).install(|| problem.run(backward, f32::NAN))
            };
            let alone = on_threads(1);
            for threads in [3, 16] {
                assert!(alone == on_threads(threads), "{shape} on {threads}");
            }
        }
    }
}

#[test]
fn a_nan_or_an_infinity_stays_in_its_channel() {
    for shape in [shape(5, 4, 40), shape(200, 4, 1), shape(65, 4, 1)] {
        let (channels, inner) = (shape.channels() as usize, shape.inner() as usize);
        let channel = |index: usize| index / inner % channels;
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            for place in [0, shape.len() as usize / 2, shape.len() as usize - 1] {
                for statistics in [Statistics::Batch, Statistics::Fixed] {
                    let x = noise(shape.len() as usize, 0.0, 1.0, 7);
                    let options = Backward::default().statistics(statistics);
                    let mut problem = Problem::new(shape, options, x, 7);
                    problem.dy[place] = bad;
                    let given = problem.run(backward, f32::NAN);
                    for (index, dx) in given.input.iter().enumerate() {
                        let touched = match statistics {
                            Statistics::Batch => channel(index) == channel(place),
                            Statistics::Fixed => index == place,
                        };
                        assert_eq!(!dx.is_finite(), touched, "{shape}, {index}");
                    }
                    for (index, dbeta) in given.beta.iter().enumerate() {
                        assert_eq!(!dbeta.is_finite(), index == channel(place));
                        assert_eq!(!given.gamma[index].is_finite(), index == channel(place));
                    }
                }
            }
        }
    }
}

#[test]
fn activations_are_finite_wherever_their_input_is() {
    let x = [-f32::MAX, -1e20, -1e4, -100.0, 100.0, 1e4, 1e20, f32::MAX];
    let shape = shape(8, 1, 1);
    let options = Backward::default()
        .gamma(false)
        .beta(false)
        .epsilon(0.0)
        .statistics(Statistics::Fixed)
        .grad_gamma(Gradient::Skip)
        .grad_beta(Gradient::Skip);
    for activation in [Activation::Silu, Activation::Gelu, Activation::GeluTanh] {
        let mut problem = Problem::new(shape, options.clone().activation(activation), x.into(), 8);
        problem.fixed = [vec![0.0], vec![1.0]];
        problem.dy = vec![1.0; 8];
        let given = problem.run(backward, f32::NAN).input;
        assert_eq!(
            given,
            [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 1.0],
            "{activation:?}"
        );
        let y = problem.y(activation, false);
        assert_eq!(y[..4], [0.0; 4], "{activation:?}");
        assert_eq!(y[4..], x[4..], "{activation:?}");
    }
}

#[test]
fn what_does_not_fit_is_a_typed_error_and_nothing_is_written() {
    let shape = shape(3, 2, 1);
    let (x, vector) = ([1.0; 6], [1.0; 2]);
    let saved = NormalizedBy::Batch(Saved {
        mean: &vector,
        remainder: &vector,
        invstd: &vector,
    });
    let fixed = NormalizedBy::Fixed(FixedStatistics {
        mean: &vector,
        variance: &vector,
    });
    let plain = Backward::default()
        .gamma(false)
        .beta(false)
        .grad_gamma(Gradient::Skip)
        .grad_beta(Gradient::Skip);
    let mut dx = [f32::NAN; 6];
    let mut check = |len: usize, normalized_by, options: &Backward, wanted: &HostError| {
        for pass in [backward as Pass, textbook_backward] {
            let gradients = GradientsMut {
                input: Some(&mut dx[..len]),
                ..GradientsMut::default()
            };
            let none = Parameters::default();
            let given = pass(&x, &x, None, shape, none, normalized_by, options, gradients);
            assert_eq!(given.as_ref(), Err(wanted));
        }
    };
    let wrong = |what, given, needed| {
        HostError::Length(LengthError {
            what,
            given,
            needed,
        })
    };
    check(5, saved, &plain, &wrong("the gradient of x", 5, 6));
    let short = NormalizedBy::Batch(Saved {
        mean: &vector,
        remainder: &vector,
        invstd: &vector[1..],
    });
    check(6, short, &plain, &wrong("saved invstd", 1, 2));
    let what = "saved statistics";
    check(6, fixed, &plain, &HostError::Missing { what });
    let frozen = plain.clone().statistics(Statistics::Fixed);
    let what = "mean and variance";
    check(6, saved, &frozen, &HostError::Missing { what });

    let skipping = plain.clone().grad_input(Gradient::Skip);
    check(6, saved, &skipping, &HostError::NoGradient);
    let skipping = skipping.grad_gamma(Gradient::Write);
    let what = "the gradient of x";
    check(6, saved, &skipping, &HostError::Unexpected { what });
    let asking = plain.clone().beta(true).grad_beta(Gradient::Add);
    let what = "the gradient of beta";
    check(6, saved, &asking, &HostError::Missing { what });
    let asking = plain.clone().grad_residual(Gradient::Write);
    check(6, saved, &asking, &HostError::NoResidual);

    let half = plain.clone().element(Element::Bf16);
    let what = "storage as bf16";
    check(6, saved, &half, &HostError::DeviceOnly { what });
    let relu = plain.clone().activation(Activation::Relu);
    let from_output = relu.clone().derivative(Derivative::Output);
    let what = "the gradient of an activation from its output";
    check(6, saved, &from_output, &HostError::DeviceOnly { what });
    let masked = relu.derivative(Derivative::Mask);
    let what = "a mask of the activation";
    check(6, saved, &masked, &HostError::DeviceOnly { what });
    let slope = f32::INFINITY;
    let steep = plain.clone().activation(Activation::LeakyRelu { slope });
    check(6, saved, &steep, &HostError::Slope { slope });
    let epsilon = -1.0;
    check(
        6,
        saved,
        &plain.epsilon(epsilon),
        &HostError::Epsilon { epsilon },
    );
    assert!(dx.iter().all(|dx| dx.is_nan()));

    // The forward pass refuses the same.
    let mut y = [f32::NAN; 6];
    let none = Parameters::default();
    for pass in [training as super::Pass, textbook_training] {
        let masked = bare().mask(true);
        assert_eq!(
            pass(&x, None, &mut y, shape, none, &masked, None, None),
            Err(HostError::DeviceOnly { what })
        );
        let added = bare().residual(true);
        assert_eq!(
            pass(&x, None, &mut y, shape, none, &added, None, None),
            Err(HostError::Missing { what: "a residual" })
        );
        assert_eq!(
            pass(&x, Some(&x[1..]), &mut y, shape, none, &added, None, None),
            Err(wrong("residual", 5, 6))
        );
        let half = bare().element(Element::F16);
        let what = "storage as f16";
        assert_eq!(
            pass(&x, None, &mut y, shape, none, &half, None, None),
            Err(HostError::DeviceOnly { what })
        );
    }
    assert!(y.iter().all(|y| y.is_nan()));
}
