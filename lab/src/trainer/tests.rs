//! The optimizer and the recorded norms beside the same in f64, step by step.

use wgpu_batchnorm::{GpuOptions, Packed};

use super::*;
use crate::data::Source;
use crate::spec::{Activation, Architecture, Loss, Member, Norm, Optimizer};

const STEPS: u32 = 4;

/// What a value may be off by after a few steps, in units of the largest: a handful of roundings of f32 each.
const TOLERANCE: f64 = 2e-6;

fn spec(optimizer: Optimizer) -> Spec {
    let member = |(seed, learning_rate)| Member {
        seed,
        learning_rate,
        gain: 1.0,
    };
    Spec {
        source: Source::WineStandardized,
        training_rows: None,
        architecture: Architecture {
            hidden: vec![7, 5],
            activation: Activation::Relu,
            norm: Norm::Batch,
            input_norm: Norm::Batch,
        },
        loss: Loss::CrossEntropy,
        optimizer,
        batch: 16,
        steps: STEPS as usize,
        members: [(3, 0.1), (4, 0.02), (5, 0.3)].map(member).to_vec(),
        evaluate_every: 1,
        evaluate: vec![],
        gradients_every: Some(2),
        watch: None,
        afterwards: vec![],
    }
}

/// Values with the gradients they follow.
struct Twin {
    values: Vec<f64>,
    moments: Vec<(f64, f64)>,
    rate: Box<dyn Fn(usize) -> f64>,
}

impl Twin {
    fn step(&mut self, optimizer: Optimizer, steps: i32, gradients: &[f32]) {
        let followed = self.values.iter_mut().zip(&mut self.moments);
        for (at, ((value, moment), &gradient)) in followed.zip(gradients).enumerate() {
            let (gradient, rate) = (f64::from(gradient), (self.rate)(at));
            match optimizer {
                Optimizer::Sgd { momentum } => {
                    moment.0 = f64::from(momentum) * moment.0 + gradient;
                    *value -= rate * moment.0;
                }
                Optimizer::Adam {
                    momentum,
                    decay,
                    epsilon,
                } => {
                    let [momentum, decay, epsilon] = [momentum, decay, epsilon].map(f64::from);
                    moment.0 = momentum * moment.0 + (1.0 - momentum) * gradient;
                    moment.1 = decay * moment.1 + (1.0 - decay) * gradient * gradient;
                    let mean = moment.0 / (1.0 - momentum.powi(steps));
                    let square = moment.1 / (1.0 - decay.powi(steps));
                    *value -= rate * mean / (square.sqrt() + epsilon);
                }
            }
        }
    }
}

#[test]
fn values_follow_their_gradients_and_norms_are_those_of_the_gradients() {
    let gpu = Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter");
    let trainer = Trainer::new(&gpu);
    for optimizer in [Optimizer::SGD, Optimizer::ADAM] {
        let spec = spec(optimizer);
        let table = Table::read(spec.source).expect("embedded");
        let run = Run::new(&trainer, &spec, &table).expect("bound");
        let read = |buffer: &wgpu::Buffer| -> Vec<f32> {
            gpu.blocking_download(Tensor::whole(buffer))
                .expect("download")
        };
        let members = spec.members.len();
        let rates: Vec<f64> = spec
            .members
            .iter()
            .map(|one| f64::from(one.learning_rate))
            .collect();
        // Values, gradients, and whose each value is.
        let mut followed = Vec::new();
        for linear in &run.bank.linears {
            let (rates, of_member) = (rates.clone(), read(&linear.weights).len() / members);
            let rate: Box<dyn Fn(usize) -> f64> = Box::new(move |at| rates[at / of_member]);
            followed.push((linear.weights.clone(), linear.gradients.clone(), rate));
        }
        for norm in run
            .bank
            .norms
            .iter()
            .chain([&run.bank.input_norm])
            .flatten()
        {
            let channels = norm.layer.channels();
            let stride = Packed::new(channels).stride() as usize;
            let (rates, units) = (rates.clone(), channels as usize / members);
            // What lies between gamma and beta has no gradient.
            let rate: Box<dyn Fn(usize) -> f64> =
                Box::new(move |at| rates.get(at % stride / units).copied().unwrap_or(0.0));
            let parameters = norm.layer.parameters().expect("it learns").buffer().clone();
            followed.push((parameters, norm.gradients.clone(), rate));
        }
        let mut twins: Vec<_> = followed
            .into_iter()
            .map(|(values, gradients, rate)| {
                let first: Vec<f64> = read(&values).into_iter().map(f64::from).collect();
                let twin = Twin {
                    moments: vec![(0.0, 0.0); first.len()],
                    values: first,
                    rate,
                };
                (values, gradients, twin)
            })
            .collect();
        for (step, steps) in (0..STEPS as usize).zip(1..) {
            let mut recorder = Recorder::new(&gpu);
            pollster::block_on(recorder.record(&run.gradient_works)).expect("recorded");
            if step % 2 == 0 {
                pollster::block_on(recorder.record(&run.norm_works)).expect("recorded");
            }
            recorder.submit();
            if step % 2 == 0 {
                let norms = read(run.gradient_norms.as_ref().expect("recorded"));
                for (layer, linear) in run.bank.linears.iter().enumerate() {
                    let gradients = read(&linear.gradients);
                    let of_member = gradients.len() / members;
                    let weights = (linear.inputs * linear.outputs) as usize;
                    for member in 0..members {
                        let of_member = &gradients[member * of_member..][..weights];
                        let exact = of_member
                            .iter()
                            .map(|&gradient| f64::from(gradient).powi(2))
                            .sum::<f64>()
                            .sqrt();
                        let at = (step / 2 * run.bank.linears.len() + layer) * members + member;
                        let error = (f64::from(norms[at]) / exact - 1.0).abs();
                        assert!(error < 1e-5, "{} instead of {exact}", norms[at]);
                    }
                }
            }
            for (_, gradients, twin) in &mut twins {
                twin.step(optimizer, steps, &read(gradients));
            }
            pollster::block_on(recorder.record(&run.update_works)).expect("recorded");
            recorder.submit();
            for (values, _, twin) in &twins {
                let values = read(values);
                let largest = twin
                    .values
                    .iter()
                    .fold(0f64, |most, value| most.max(value.abs()));
                for (&value, exact) in values.iter().zip(&twin.values) {
                    let error = (f64::from(value) - exact).abs() / largest;
                    assert!(
                        error < TOLERANCE,
                        "{optimizer:?}, step {step}: {value} instead of {exact}"
                    );
                }
            }
        }
    }
}
