//! The gradients of whole networks beside central differences of the same networks in f64.

use batchnorm_lab::data::{Source, Table};
use batchnorm_lab::spec::{Activation, Architecture, Loss, Member, Norm, Optimizer, Spec};
use batchnorm_lab::{Gradients, Trainer};
use wgpu_batchnorm::{DEFAULT_EPSILON, Gpu, GpuOptions, Packed};

/// What a gradient may be off by, in units of the largest gradient of its layer, or of `LEAST`. Products of 64 f32 values and a few layers of
/// them come to about 1e-6; central differences of f64 with steps of 1e-5 to about 1e-9.
const TOLERANCE: f64 = 2e-5;

/// Gradients of networks here are about 0.1. Some vanish (what batch norm takes out again has none), and what is left of those
/// is the rounding errors of the others.
const LEAST: f64 = 1e-3;

const STEP: f64 = 1e-5;

/// One network in f64: weights of `[inputs + bias, outputs]` by layer, gamma and beta by norm.
#[derive(Clone)]
struct Twin<'a> {
    spec: &'a Spec,
    weights: Vec<Vec<f64>>,
    /// Of hidden layers, then of the inputs; empty without batch norm.
    norms: Vec<[Vec<f64>; 2]>,
    x: Vec<f64>,
    labels: Vec<u32>,
    columns: usize,
    classes: usize,
}

fn normalized(x: &[f64], [gamma, beta]: &[Vec<f64>; 2]) -> Vec<f64> {
    let channels = gamma.len();
    let rows = (x.len() / channels.max(1)) as f64;
    let mut y = x.to_vec();
    for channel in 0..channels {
        let of_channel = || x.iter().skip(channel).step_by(channels);
        let mean = of_channel().sum::<f64>() / rows;
        let variance = of_channel().map(|x| (x - mean).powi(2)).sum::<f64>() / rows;
        let scale = gamma[channel] / (variance + f64::from(DEFAULT_EPSILON)).sqrt();
        for y in y.iter_mut().skip(channel).step_by(channels) {
            *y = (*y - mean) * scale + beta[channel];
        }
    }
    y
}

impl Twin<'_> {
    fn loss(&self) -> f64 {
        let rows = self.labels.len();
        let hidden = self.spec.architecture.hidden.len();
        let mut active = normalized(&self.x, &self.norms[hidden]);
        let mut inputs = self.columns;
        for (layer, weights) in self.weights.iter().enumerate() {
            let units = self.spec.architecture.hidden.get(layer);
            let outputs = units.map_or(self.classes, |&units| units as usize);
            let bias = weights.len() / outputs - inputs;
            let z: Vec<f64> = (0..rows * outputs)
                .map(|at| {
                    let (row, column) = (at / outputs, at % outputs);
                    let product =
                        |i: usize| active[row * inputs + i] * weights[i * outputs + column];
                    (0..inputs).map(product).sum::<f64>()
                        + if bias == 1 {
                            weights[inputs * outputs + column]
                        } else {
                            0.0
                        }
                })
                .collect();
            inputs = outputs;
            active = z;
            if layer < hidden {
                active = normalized(&active, &self.norms[layer]);
                for value in &mut active {
                    *value = match self.spec.architecture.activation {
                        Activation::Relu => value.max(0.0),
                        Activation::Sigmoid => 1.0 / (1.0 + (-*value).exp()),
                        Activation::Tanh => value.tanh(),
                    };
                }
            }
        }
        let of_row = |(outputs, &label): (&[f64], &u32)| match self.spec.loss {
            Loss::CrossEntropy => {
                let sum: f64 = outputs.iter().map(|output| output.exp()).sum();
                sum.ln() - outputs[label as usize]
            }
            Loss::MeanSquaredError => {
                let wanted = |class: usize| f64::from(u8::from(class == label as usize));
                let square = |(class, output): (usize, &f64)| (output - wanted(class)).powi(2);
                outputs.iter().enumerate().map(square).sum::<f64>() / outputs.len() as f64
            }
        };
        let losses = active.chunks(self.classes).zip(&self.labels).map(of_row);
        losses.sum::<f64>() / rows as f64
    }

    /// The derivative of the loss by each value that `of` gives.
    fn derivatives(&self, count: usize, of: impl Fn(&mut Self, usize) -> &mut f64) -> Vec<f64> {
        let loss_at = |index, difference| {
            let mut moved = self.clone();
            *of(&mut moved, index) += difference;
            moved.loss()
        };
        (0..count)
            .map(|index| (loss_at(index, STEP) - loss_at(index, -STEP)) / (2.0 * STEP))
            .collect()
    }
}

fn assert_close(what: &str, given: &[f32], exact: &[f64]) {
    assert_eq!(given.len(), exact.len(), "{what}");
    let largest = exact
        .iter()
        .fold(LEAST, |largest, exact| largest.max(exact.abs()));
    for (index, (&given, exact)) in given.iter().zip(exact).enumerate() {
        let error = (f64::from(given) - exact).abs() / largest;
        assert!(
            error <= TOLERANCE,
            "{what}, value {index}: {given} instead of {exact}, {error:.1e} off"
        );
    }
}

fn check(trainer: &Trainer, spec: &Spec) {
    let gradients: Gradients =
        pollster::block_on(trainer.first_gradients(spec)).expect("the first step");
    let table = Table::read(spec.source).expect("embedded");
    let members = spec.members.len();
    let hidden = &spec.architecture.hidden;
    let norm_units = hidden
        .iter()
        .map(|&units| units as usize)
        .chain([table.columns]);
    let there = (0..hidden.len())
        .map(|_| spec.architecture.norm)
        .chain([spec.architecture.input_norm]);
    let rows = gradients.batch.iter().map(|&row| row as usize);
    let twin = Twin {
        spec,
        // The first member's.
        weights: gradients
            .weights
            .iter()
            .map(|[weights, _]| {
                weights[..weights.len() / members]
                    .iter()
                    .copied()
                    .map(f64::from)
                    .collect()
            })
            .collect(),
        norms: norm_units
            .clone()
            .zip(there)
            .map(|(units, norm)| match norm {
                Norm::Batch => [vec![1.0; units], vec![0.0; units]],
                Norm::None | Norm::Identity => [vec![], vec![]],
            })
            .collect(),
        x: rows
            .clone()
            .flat_map(|row| &table.values[row * table.columns..(row + 1) * table.columns])
            .copied()
            .map(f64::from)
            .collect(),
        labels: rows.map(|row| table.labels[row]).collect(),
        columns: table.columns,
        classes: table.classes,
    };
    for (layer, [weights, given]) in gradients.weights.iter().enumerate() {
        let len = weights.len() / members;
        let exact = twin.derivatives(len, |twin, index| &mut twin.weights[layer][index]);
        assert_close(&format!("{spec:?}: weights {layer}"), &given[..len], &exact);
    }
    for (layer, (given, units)) in gradients.norms.iter().zip(norm_units).enumerate() {
        if twin.norms[layer][0].is_empty() {
            continue;
        }
        let packed = Packed::new((units * members) as u64);
        for (vector, name) in ["gamma", "beta"].into_iter().enumerate() {
            let given = packed.vector(given, vector).expect("packed");
            let exact =
                twin.derivatives(units, |twin, index| &mut twin.norms[layer][vector][index]);
            assert_close(
                &format!("{spec:?}: {name} {layer}"),
                &given[..units],
                &exact,
            );
        }
    }
}

fn spec(hidden: &[u64], activation: Activation, norms: [Norm; 2], loss: Loss) -> Spec {
    let member = |seed| Member {
        seed,
        learning_rate: 0.1,
        gain: 1.0,
    };
    Spec {
        source: Source::WineStandardized,
        training_rows: None,
        architecture: Architecture {
            hidden: hidden.to_vec(),
            activation,
            norm: norms[0],
            input_norm: norms[1],
        },
        loss,
        optimizer: Optimizer::SGD,
        batch: 19,
        steps: 1,
        members: vec![member(5), member(6), member(7)],
        evaluate_every: 1,
        evaluate: vec![],
        gradients_every: None,
        watch: None,
        afterwards: vec![],
    }
}

#[test]
fn gradients_of_whole_networks_are_central_differences() {
    let gpu = Gpu::blocking(&GpuOptions::from_env()).expect("these tests need an adapter");
    let trainer = Trainer::new(&gpu);
    use Activation::{Relu, Sigmoid, Tanh};
    use Loss::{CrossEntropy, MeanSquaredError};
    use Norm::{Batch, Identity, None};
    for (hidden, activation, norms, loss) in [
        (&[][..], Relu, [None, None], CrossEntropy),
        (&[7], Relu, [None, None], CrossEntropy),
        (&[7, 5], Sigmoid, [None, None], MeanSquaredError),
        (&[7, 5], Tanh, [None, Batch], CrossEntropy),
        (&[6, 9, 8], Relu, [Batch, None], CrossEntropy),
        (&[6, 9, 8], Relu, [Batch, Batch], MeanSquaredError),
        (&[6, 9], Sigmoid, [Batch, None], CrossEntropy),
        (&[6, 9], Tanh, [Batch, Batch], MeanSquaredError),
        (&[6, 9], Relu, [Identity, Identity], CrossEntropy),
        (&[40, 35], Relu, [Batch, None], CrossEntropy),
    ] {
        check(&trainer, &spec(hidden, activation, norms, loss));
    }
    // Where the host normalizes, the same.
    let on_host = Trainer::new(&gpu).normalize_on_host(true);
    check(&on_host, &spec(&[6, 9], Relu, [Batch, Batch], CrossEntropy));
}
