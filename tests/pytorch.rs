//! The f64 reference and the processor's path against PyTorch, on the cases of `tests/data/pytorch`. The device runs them in
//! `tests/command/check.rs`. Needs no adapter.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use half::{bf16, f16};
use safetensors::tensor::{Dtype, SafeTensors, TensorView};
use wgpu_batchnorm::reference::{self, FixedStatistics, Parameters, RunningStatistics};
use wgpu_batchnorm::{Activation, Backward, Inference, Running, Shape, Training, Update, cpu};

/// Tensors by their names in a case file, without `expected.`.
type Results = BTreeMap<&'static str, Vec<f64>>;

/// A case as its file has it.
struct Case {
    name: String,
    tensors: HashMap<String, Vec<f64>>,
    shape: Shape,
    batches: u32,
    trains: bool,
    epsilon: f32,
    update: Update,
    activation: Activation,
}

/// What a pass takes: f32, which holds every value of the files that is not an expected one.
struct Given {
    x: Vec<f32>,
    dy: Vec<f32>,
    residual: Option<Vec<f32>>,
    gamma: Option<Vec<f32>>,
    beta: Option<Vec<f32>>,
    state: Option<[Vec<f32>; 2]>,
}

fn values(view: &TensorView<'_>) -> Vec<f64> {
    fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f64) -> Vec<f64> {
        bytes
            .as_chunks()
            .0
            .iter()
            .map(|&bytes| value(bytes))
            .collect()
    }
    let bytes = view.data();
    match view.dtype() {
        Dtype::F64 => each(bytes, f64::from_le_bytes),
        Dtype::F32 => each(bytes, |bytes| f32::from_le_bytes(bytes).into()),
        Dtype::F16 => each(bytes, |bytes| f16::from_le_bytes(bytes).into()),
        Dtype::BF16 => each(bytes, |bytes| bf16::from_le_bytes(bytes).into()),
        Dtype::I64 => each(bytes, |bytes| i64::from_le_bytes(bytes) as f64),
        other => panic!("a tensor of {other:?}"),
    }
}

impl Case {
    fn read(path: &Path) -> Self {
        let bytes = std::fs::read(path).expect("a file");
        let (_, header) = SafeTensors::read_metadata(&bytes).expect("a header");
        let metadata = header.metadata().as_ref().expect("metadata");
        let file = SafeTensors::deserialize(&bytes).expect("tensors");
        let text = |key: &str| metadata.get(key).map_or("", String::as_str);
        let axis = text("axis").parse().expect("an axis");
        let input = file.tensor("input").expect("an input");
        let tensors: HashMap<_, _> = (file.tensors().iter())
            .map(|(name, view)| (name.clone(), values(view)))
            .collect();
        Self {
            name: path.file_name().expect("a name").to_string_lossy().into(),
            shape: Shape::with_axis(input.shape(), axis).expect("a shape"),
            batches: tensors
                .get("num_batches_tracked")
                .map_or(0, |counts| counts[0] as u32),
            trains: text("mode") == "training",
            epsilon: text("epsilon").parse().expect("an epsilon"),
            update: match text("momentum") {
                "cumulative" => Update::Cumulative,
                // there are no running statistics then
                "" => Update::Exponential(0.0),
                momentum => Update::Exponential(momentum.parse().expect("a momentum")),
            },
            activation: match text("activation") {
                "none" => Activation::None,
                "relu" => Activation::Relu,
                "leaky_relu" => Activation::LeakyRelu {
                    slope: text("activation_alpha").parse().expect("a slope"),
                },
                "relu6" => Activation::Relu6,
                "silu" => Activation::Silu,
                "gelu" => Activation::Gelu,
                "gelu_tanh" => Activation::GeluTanh,
                other => panic!("the activation {other}"),
            },
            tensors,
        }
    }

    fn given(&self) -> Given {
        let find = |name: &str| {
            let values = self.tensors.get(name)?;
            Some(
                values
                    .iter()
                    .map(|&value| value as f32)
                    .collect::<Vec<f32>>(),
            )
        };
        Given {
            x: find("input").expect("an input"),
            dy: find("grad_output").expect("a gradient"),
            residual: find("residual"),
            gamma: find("weight"),
            beta: find("bias"),
            state: find("running_mean")
                .zip(find("running_var"))
                .map(Into::into),
        }
    }

    fn expected(&self) -> impl Iterator<Item = (&str, &[f64])> {
        (self.tensors.iter())
            .filter_map(|(name, values)| Some((name.strip_prefix("expected.")?, &values[..])))
    }

    /// The options of a step that normalizes by the batch.
    fn training(&self, given: &Given) -> Training {
        let running = given.state.as_ref().map(|_| Running {
            update: self.update,
            ..Running::default()
        });
        Training::default()
            .epsilon(self.epsilon)
            .gamma(given.gamma.is_some())
            .beta(given.beta.is_some())
            .activation(self.activation)
            .residual(given.residual.is_some())
            .running(running)
    }

    /// The options of a step that normalizes by running statistics.
    fn inference(&self, given: &Given) -> Inference {
        Inference::default()
            .epsilon(self.epsilon)
            .gamma(given.gamma.is_some())
            .beta(given.beta.is_some())
            .activation(self.activation)
            .residual(given.residual.is_some())
    }

    /// What the f64 reference makes of it.
    fn reference(&self) -> Results {
        let given = self.given();
        let (x, residual, shape) = (&given.x, given.residual.as_deref(), self.shape);
        let parameters = given.parameters();
        let mut results = Results::new();
        let mut fixed = None;
        let options = match &given.state {
            Some([mean, variance]) if !self.trains => {
                let options = self.inference(&given);
                let y =
                    reference::inference(x, residual, shape, parameters, mean, variance, &options);
                results.insert("output", y.expect("all fits"));
                results.insert("running_mean", wide(mean));
                results.insert("running_var", wide(variance));
                fixed = Some(FixedStatistics { mean, variance });
                Backward::from(&options)
            }
            state => {
                let options = self.training(&given);
                let mut running = state.as_ref().map(|[mean, variance]| {
                    let batches = vec![self.batches; mean.len()];
                    RunningStatistics::from_f32(mean, variance, &batches).expect("all fits")
                });
                let forward =
                    reference::training(x, residual, shape, parameters, &options, running.as_mut());
                results.insert("output", forward.expect("all fits").y);
                if let Some(running) = running {
                    results.insert("running_mean", running.mean);
                    results.insert("running_var", running.variance);
                }
                Backward::from(&options)
            }
        };
        let gradients =
            reference::backward(x, &given.dy, residual, shape, parameters, fixed, &options);
        let gradients = gradients.expect("all fits");
        results.insert("grad_input", gradients.input);
        results.insert("grad_weight", gradients.gamma);
        results.insert("grad_bias", gradients.beta);
        results.insert("grad_residual", gradients.residual);
        results
    }

    /// What the processor's path makes of it.
    fn processor(&self) -> Results {
        let given = self.given();
        let (x, residual, shape) = (&given.x, given.residual.as_deref(), self.shape);
        let parameters = given.parameters();
        let channels = shape.channels() as usize;
        let mut y = vec![f32::NAN; x.len()];
        let [mut saved_mean, mut saved_remainder, mut saved_invstd] =
            [(); 3].map(|()| vec![f32::NAN; channels]);
        let mut state = given.state.clone();
        let (normalized_by, options) = match &mut state {
            Some([mean, variance]) if !self.trains => {
                let options = self.inference(&given);
                cpu::inference(
                    x, residual, &mut y, shape, parameters, mean, variance, &options,
                )
                .expect("all fits");
                let fixed = FixedStatistics { mean, variance };
                (cpu::NormalizedBy::Fixed(fixed), Backward::from(&options))
            }
            state => {
                let options = self.training(&given);
                let mut batches = vec![self.batches; channels];
                let running = state.as_mut().map(|[mean, variance]| cpu::RunningMut {
                    mean,
                    variance,
                    batches: &mut batches,
                });
                let saved = cpu::SavedMut {
                    mean: &mut saved_mean,
                    remainder: &mut saved_remainder,
                    invstd: &mut saved_invstd,
                };
                cpu::training(
                    x,
                    residual,
                    &mut y,
                    shape,
                    parameters,
                    &options,
                    running,
                    Some(saved),
                )
                .expect("all fits");
                let saved = cpu::Saved {
                    mean: &saved_mean,
                    remainder: &saved_remainder,
                    invstd: &saved_invstd,
                };
                (cpu::NormalizedBy::Batch(saved), Backward::from(&options))
            }
        };
        let [mut grad_input, mut grad_residual] = [(); 2].map(|()| vec![f32::NAN; x.len()]);
        let [mut grad_weight, mut grad_bias] = [(); 2].map(|()| vec![f32::NAN; channels]);
        let gradients = cpu::GradientsMut {
            input: Some(&mut grad_input),
            gamma: given.gamma.is_some().then_some(&mut grad_weight),
            beta: given.beta.is_some().then_some(&mut grad_bias),
            residual: residual.is_some().then_some(&mut grad_residual),
        };
        cpu::backward(
            x,
            &given.dy,
            residual,
            shape,
            parameters,
            normalized_by,
            &options,
            gradients,
        )
        .expect("all fits");
        let mut results = Results::from([
            ("output", wide(&y)),
            ("grad_input", wide(&grad_input)),
            ("grad_weight", wide(&grad_weight)),
            ("grad_bias", wide(&grad_bias)),
            ("grad_residual", wide(&grad_residual)),
        ]);
        if let Some([mean, variance]) = &state {
            results.insert("running_mean", wide(mean));
            results.insert("running_var", wide(variance));
        }
        results
    }
}

impl Given {
    fn parameters(&self) -> Parameters<'_> {
        Parameters {
            gamma: self.gamma.as_deref(),
            beta: self.beta.as_deref(),
        }
    }
}

fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&value| value.into()).collect()
}

/// The first value further off than `bound` of the tensor's largest, or of 1.
fn first_wrong(results: &Results, case: &Case, bound: f64) -> Option<String> {
    for (name, expected) in case.expected() {
        let results = &results[name];
        assert_eq!(results.len(), expected.len(), "{}: {name}", case.name);
        let largest = expected
            .iter()
            .fold(1.0, |largest: f64, value| largest.max(value.abs()));
        for (index, (value, expected)) in results.iter().zip(expected).enumerate() {
            // not so where it is NaN either
            let near = (value - expected).abs() <= bound * largest;
            if !near {
                return Some(format!(
                    "{}: {name}[{index}] is {value:e} for {expected:e}",
                    case.name
                ));
            }
        }
    }
    None
}

fn cases() -> Vec<Case> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/pytorch");
    let mut paths: Vec<_> = (folder.read_dir().expect("a folder"))
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "safetensors")
        })
        .collect();
    paths.sort();
    assert!(paths.len() > 80, "{} cases", paths.len());
    paths.iter().map(|path| Case::read(path)).collect()
}

/// Epsilon and momentum are f32 here: 0.1 is 1.5e-9 off.
const OF_REFERENCE: f64 = 2e-8;
/// f32 arithmetic.
const OF_PROCESSOR: f64 = 2e-6;

#[test]
fn the_reference_is_what_pytorch_computes_in_f64() {
    for case in cases() {
        assert_eq!(first_wrong(&case.reference(), &case, OF_REFERENCE), None);
    }
}

#[test]
fn the_processor_computes_what_pytorch_computes() {
    for case in cases() {
        assert_eq!(first_wrong(&case.processor(), &case, OF_PROCESSOR), None);
    }
}

#[test]
fn every_tensor_of_a_case_is_compared() {
    for case in cases() {
        let right = case.reference();
        for (name, _) in case.expected() {
            let mut wrong = right.clone();
            let values = wrong.get_mut(name).expect("computed");
            *values.last_mut().expect("values") +=
                1e-3 * values.iter().fold(1.0, |most: f64, v| most.max(v.abs()));
            let found = first_wrong(&wrong, &case, OF_PROCESSOR).expect("a wrong value");
            assert!(found.contains(&format!(": {name}[")), "{found}");
        }
    }
}
