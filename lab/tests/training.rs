//! The trainer is honest: what should not matter does not, and what should is the same each time.

use batchnorm_lab::data::{Source, Split};
use batchnorm_lab::spec::{
    Activation, Architecture, Company, Loss, Member, Norm, Optimizer, Outcome, Spec,
};
use batchnorm_lab::{Error, Trainer};
use wgpu_batchnorm::{Gpu, GpuOptions, PlanError};

fn gpu() -> Gpu {
    Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter")
}

fn members(rates: &[f32]) -> Vec<Member> {
    let of_rate = |(seed, &learning_rate)| Member {
        seed,
        learning_rate,
        gain: 1.0,
    };
    (1..).zip(rates).map(of_rate).collect()
}

fn spec(norm: Norm) -> Spec {
    Spec {
        source: Source::Digits,
        training_rows: None,
        architecture: Architecture {
            hidden: vec![32, 20],
            activation: Activation::Relu,
            norm,
            input_norm: Norm::None,
        },
        loss: Loss::CrossEntropy,
        optimizer: Optimizer::SGD,
        batch: 32,
        steps: 20,
        members: members(&[0.1, 0.03, 0.1]),
        evaluate_every: 5,
        evaluate: vec![Split::Test, Split::Training],
        gradients_every: Some(5),
        watch: None,
        afterwards: vec![Company::Mixed(16), Company::Draws { size: 8, draws: 12 }],
    }
}

fn train(trainer: &Trainer, spec: &Spec) -> Outcome {
    pollster::block_on(trainer.train(spec, &|_| {})).expect("trains")
}

/// Every number of two outcomes, but for those after training, is the same bit for bit.
fn assert_identical(one: &Outcome, other: &Outcome) {
    assert_eq!(one.losses, other.losses);
    assert_eq!(one.scores, other.scores);
    assert_eq!(one.gradients, other.gradients);
    assert_eq!(one.quantiles, other.quantiles);
}

#[test]
fn with_batch_norm_replaced_by_the_identity_both_arms_are_identical() {
    let gpu = gpu();
    let trainer = Trainer::new(&gpu);
    for (activation, optimizer, watch) in [
        (Activation::Relu, Optimizer::SGD, None),
        (Activation::Sigmoid, Optimizer::ADAM, Some(1)),
        (Activation::Tanh, Optimizer::SGD, None),
    ] {
        let of = |norm| {
            let mut spec = spec(norm);
            spec.architecture.activation = activation;
            spec.architecture.input_norm = norm;
            spec.optimizer = optimizer;
            spec.watch = watch;
            train(&trainer, &spec)
        };
        assert_identical(&of(Norm::None), &of(Norm::Identity));
    }
    // The arms do differ where they should.
    assert_ne!(
        train(&trainer, &spec(Norm::None)).losses,
        train(&trainer, &spec(Norm::Batch)).losses
    );
}

#[test]
fn the_same_seeds_give_the_same_numbers() {
    let gpu = gpu();
    let spec = spec(Norm::Batch);
    let first = train(&Trainer::new(&gpu), &spec);
    assert_eq!(first, train(&Trainer::new(&gpu), &spec));
    let mut other = spec.clone();
    other.members[0].seed += 100;
    assert_ne!(
        first.losses[0],
        train(&Trainer::new(&gpu), &other).losses[0]
    );
}

/// A step's rounding errors are about 1e-7 of its loss and gradients, and later steps carry them on; on digits they grow by
/// a third each step or so. After ten steps 1e-4 is well above that and well below what another seed changes.
#[test]
fn by_the_reference_on_the_host_curves_are_the_same_at_first() {
    const STEPS: usize = 10;
    let gpu = gpu();
    for input_norm in [Norm::None, Norm::Batch] {
        let mut spec = spec(Norm::Batch);
        spec.steps = STEPS;
        spec.architecture.input_norm = input_norm;
        let on_device = train(&Trainer::new(&gpu), &spec);
        let on_host = train(&Trainer::new(&gpu).normalize_on_host(true), &spec);
        let mut largest = 0f32;
        for (device, host) in on_device
            .losses
            .iter()
            .flatten()
            .zip(on_host.losses.iter().flatten())
        {
            let difference = (device.expect("finite") - host.expect("finite")).abs();
            largest = largest.max(difference);
        }
        assert!(largest < 1e-4, "losses differ by {largest:e}");
        for (device, host) in on_device
            .scores
            .iter()
            .flatten()
            .flatten()
            .zip(on_host.scores.iter().flatten().flatten())
        {
            // One sample of 355 near a border of two classes.
            assert!((device.accuracy - host.accuracy).abs() < 0.003);
            let losses = [device.loss, host.loss].map(|loss| loss.expect("finite"));
            assert!((losses[0] - losses[1]).abs() < 1e-4);
        }
        for (device, host) in on_device
            .afterwards
            .iter()
            .flatten()
            .zip(on_host.afterwards.iter().flatten())
        {
            assert!((device.accuracy - host.accuracy).abs() < 0.1);
            if let (Some(device), Some(host)) = (device.deviation, host.deviation) {
                assert!((device / host - 1.0).abs() < 1e-3 && device > 0.0);
            }
        }
    }
}

#[test]
fn members_do_not_disturb_each_other() {
    let gpu = gpu();
    let trainer = Trainer::new(&gpu);
    for norm in [Norm::None, Norm::Batch] {
        let mut alone = spec(norm);
        alone.members.truncate(1);
        let mut together = alone.clone();
        // One that has no finite weights after its first step.
        together.members.extend(members(&[1e38, 0.1]));
        let (alone, together) = (train(&trainer, &alone), train(&trainer, &together));
        assert_eq!(together.losses[1][5], None, "the second member should fail");
        assert!(together.scores[0][1][4].accuracy < 0.2);
        for (one, other) in alone.losses[0].iter().zip(&together.losses[0]) {
            let [one, other] = [one, other].map(|loss| loss.expect("finite"));
            // The library may sum another number of channels in another order.
            assert!((one - other).abs() < 1e-4, "{one} {other}");
        }
    }
}

#[test]
fn networks_learn() {
    let gpu = gpu();
    let trainer = Trainer::new(&gpu);
    for (norm, optimizer, loss, rate) in [
        (Norm::None, Optimizer::SGD, Loss::CrossEntropy, 0.03),
        (Norm::Batch, Optimizer::SGD, Loss::CrossEntropy, 0.1),
        (Norm::Batch, Optimizer::ADAM, Loss::CrossEntropy, 0.01),
        (Norm::None, Optimizer::ADAM, Loss::MeanSquaredError, 0.01),
    ] {
        let mut spec = spec(norm);
        spec.steps = 240;
        spec.evaluate_every = 60;
        spec.loss = loss;
        spec.optimizer = optimizer;
        spec.members = members(&[rate; 2]);
        let outcome = train(&trainer, &spec);
        for scores in &outcome.scores[0] {
            assert!(
                scores[0].accuracy < 0.35,
                "{spec:?}: before it has learned: {scores:?}"
            );
            assert!(scores[4].accuracy > 0.85, "{spec:?}: {scores:?}");
        }
    }
}

#[test]
fn one_sample_alone_is_its_own_mean() {
    let gpu = gpu();
    let trainer = Trainer::new(&gpu);
    let mut spec = spec(Norm::Batch);
    spec.afterwards = vec![
        Company::Mixed(1),
        Company::Draws { size: 1, draws: 4 },
        Company::Sorted(64),
    ];
    let outcome = train(&trainer, &spec);
    // Every sample gives the same outputs, and so all are of the same class.
    assert!(
        outcome.afterwards[0]
            .iter()
            .all(|after| (0.08..0.12).contains(&after.accuracy))
    );
    assert!(
        outcome.afterwards[1]
            .iter()
            .all(|after| after.deviation == Some(0.0))
    );

    // To train on one is refused by the library, and nothing is trained.
    spec.batch = 1;
    let error = pollster::block_on(trainer.train(&spec, &|_| {})).expect_err("no variance");
    assert!(
        matches!(error, Error::Plan(PlanError::SingleValue)),
        "{error}"
    );
}

#[test]
fn what_cannot_be_trained_is_an_error() {
    let gpu = gpu();
    let trainer = Trainer::new(&gpu);
    let broken: [fn(&mut Spec); 9] = [
        |spec| spec.members.clear(),
        |spec| spec.batch = 0,
        |spec| spec.architecture.hidden.push(0),
        |spec| spec.evaluate_every = 0,
        |spec| spec.gradients_every = Some(0),
        |spec| spec.training_rows = Some(0),
        |spec| spec.watch = Some(2),
        |spec| spec.afterwards = vec![Company::Mixed(0)],
        |spec| spec.afterwards = vec![Company::Sorted(10_000)],
    ];
    for (index, change) in broken.iter().enumerate() {
        let mut spec = spec(Norm::Batch);
        spec.steps = 1;
        change(&mut spec);
        let error = pollster::block_on(trainer.train(&spec, &|_| {})).expect_err("broken");
        assert!(matches!(error, Error::Spec { .. }), "{index}: {error}");
    }
}
