//! Every way in which a file can be a case, and every way in which it can fail to be one.

use half::{bf16, f16};
use safetensors::tensor::{Dtype, TensorView};
use wgpu_batchnorm::{Activation, Element, HeaderError, Running, RunningVariance, Update};

use super::expected::KINDS;
use super::*;
use crate::cli::problem::State;

/// A file under construction: 2 x 3 x 2 values that pass as a training case.
pub(super) struct Draft {
    tensors: Vec<(String, Dtype, Vec<usize>, Vec<u8>)>,
    metadata: HashMap<String, String>,
}

impl Draft {
    pub(super) fn empty() -> Self {
        Self {
            tensors: Vec::new(),
            metadata: HashMap::new(),
        }
    }

    pub(super) fn new() -> Self {
        let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
        Self::empty().floats("input", &[2, 3, 2], &values).floats(
            "expected.output",
            &[2, 3, 2],
            &values,
        )
    }

    pub(super) fn with_state() -> Self {
        Self::new()
            .floats("running_mean", &[3], &[0.0; 3])
            .floats("running_var", &[3], &[1.0; 3])
    }

    fn raw(mut self, name: &str, dtype: Dtype, sizes: &[usize], bytes: Vec<u8>) -> Self {
        self.tensors.retain(|(known, ..)| known != name);
        self.tensors
            .push((name.to_owned(), dtype, sizes.to_vec(), bytes));
        self
    }

    pub(super) fn floats(self, name: &str, sizes: &[usize], values: &[f32]) -> Self {
        self.raw(
            name,
            Dtype::F32,
            sizes,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    fn doubles(self, name: &str, sizes: &[usize], values: &[f64]) -> Self {
        self.raw(
            name,
            Dtype::F64,
            sizes,
            values
                .iter()
                .flat_map(|value| value.to_le_bytes())
                .collect(),
        )
    }

    pub(super) fn batches(self, sizes: &[usize], values: &[i64]) -> Self {
        let bytes = values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect();
        self.raw("num_batches_tracked", Dtype::I64, sizes, bytes)
    }

    pub(super) fn text(mut self, key: &str, value: &str) -> Self {
        self.metadata.insert(key.to_owned(), value.to_owned());
        self
    }

    pub(super) fn bytes(self) -> Vec<u8> {
        let views = self.tensors.iter().map(|(name, dtype, sizes, bytes)| {
            (
                name.as_str(),
                TensorView::new(*dtype, sizes.clone(), bytes).expect("a consistent draft"),
            )
        });
        let metadata = (!self.metadata.is_empty()).then(|| self.metadata.clone());
        safetensors::serialize(views, metadata).expect("a consistent draft")
    }

    fn parse(self) -> Result<CaseFile, CaseFileError> {
        CaseFile::parse(&self.bytes())
    }

    /// The message of the error that this is.
    fn error(self) -> String {
        self.parse().expect_err("not a case").to_string()
    }
}

impl CaseFile {
    /// The values of an expected tensor.
    fn expects(&self, name: &str) -> Option<&[f64]> {
        let found = self
            .expected
            .iter()
            .find(|expected| expected.kind.name == name);
        found.map(|expected| &expected.values[..])
    }
}

#[test]
fn the_help_names_every_key() {
    let expected = KINDS.iter().map(|kind| kind.name);
    for name in TENSORS.into_iter().chain(METADATA).chain(expected) {
        assert!(FORMAT.contains(name), "{name}");
    }
}

#[test]
fn the_smallest_file_has_the_defaults() {
    let case = Draft::new().parse().expect("a case");
    assert_eq!((&case.sizes[..], case.axis), (&[2, 3, 2][..], 1));
    assert_eq!(case.expected.len(), 1);
    assert_eq!(
        case.expects("expected.output").map(|values| values[11]),
        Some(11.0)
    );
    assert_eq!(
        case.problem.shape,
        Shape::channels_first(&[2, 3, 2]).expect("a shape")
    );
    assert_eq!(case.problem.epsilon, 1e-5);
    assert_eq!(
        (case.problem.gamma, case.problem.beta, case.source),
        (None, None, None)
    );
    assert!(matches!(case.problem.statistics, Statistics::Batch(None)));
}

#[test]
fn running_statistics_move_as_pytorchs_by_default() {
    let case = Draft::with_state().parse().expect("a case");
    let Statistics::Batch(Some((running, state))) = case.problem.statistics else {
        panic!("{:?}", case.problem.statistics)
    };
    assert_eq!(
        running,
        Running {
            update: Update::Exponential(0.1),
            variance: RunningVariance::Unbiased
        }
    );
    assert_eq!(
        state,
        State {
            mean: vec![0.0; 3],
            variance: vec![1.0; 3],
            batches: 0
        }
    );
}

#[test]
fn every_key_is_read() {
    let case = Draft::with_state()
        .floats("weight", &[3], &[1.0, 2.0, 3.0])
        .floats("bias", &[3], &[4.0, 5.0, 6.0])
        .batches(&[], &[7])
        .doubles("expected.running_mean", &[3], &[0.1, 0.2, 0.3])
        .floats("expected.running_var", &[3], &[0.5; 3])
        .text("mode", "training")
        .text("epsilon", "1e-3")
        .text("momentum", "cumulative")
        .text("axis", "-2")
        .text("running_variance", "biased")
        .text("activation", "none")
        .text("source", "by hand")
        .parse()
        .expect("a case");
    assert_eq!(case.problem.gamma, Some(vec![1.0, 2.0, 3.0]));
    assert_eq!(case.problem.beta, Some(vec![4.0, 5.0, 6.0]));
    assert_eq!(case.problem.epsilon, 1e-3);
    assert_eq!(case.source.as_deref(), Some("by hand"));
    assert_eq!(case.axis, 1);
    assert_eq!(
        case.expects("expected.running_mean"),
        Some(&[0.1, 0.2, 0.3][..])
    );
    assert_eq!(case.expects("expected.running_var"), Some(&[0.5; 3][..]));
    let Statistics::Batch(Some((running, state))) = case.problem.statistics else {
        panic!("running statistics")
    };
    assert_eq!(
        running,
        Running {
            update: Update::Cumulative,
            variance: RunningVariance::Biased
        }
    );
    assert_eq!(state.batches, 7);

    let last = Draft::new()
        .text("axis", "2")
        .parse()
        .expect("a case")
        .problem
        .shape;
    assert_eq!((last.outer(), last.channels(), last.inner()), (6, 2, 1));
    let momentum = Draft::with_state()
        .text("momentum", "0.25")
        .parse()
        .expect("a case")
        .problem
        .statistics;
    let share = |running: Running| running.update == Update::Exponential(0.25);
    assert!(matches!(momentum, Statistics::Batch(Some((running, _))) if share(running)));
}

#[test]
fn inference_without_running_statistics_uses_the_batchs_own() {
    let given = Draft::with_state()
        .text("mode", "inference")
        .parse()
        .expect("a case");
    assert!(matches!(given.problem.statistics, Statistics::Given(_)));
    let own = Draft::new()
        .text("mode", "inference")
        .parse()
        .expect("a case");
    assert!(matches!(own.problem.statistics, Statistics::Batch(None)));
}

#[test]
fn every_bad_value_is_named() {
    for (key, values) in [
        ("mode", ["", "Training", "eval"]),
        ("epsilon", ["-1e-5", "inf", "small"]),
        ("momentum", ["1.5", "-0.1", "None"]),
        ("axis", ["1.0", "", "channels"]),
        ("running_variance", ["", "true", "Biased"]),
        ("activation", ["", "ReLU", "tanh"]),
        ("activation_alpha", ["inf", "NaN", "slope"]),
    ] {
        for value in values {
            let message = Draft::new().text(key, value).error();
            assert!(
                message.starts_with(&format!("{key} is {value:?}")),
                "{message}"
            );
        }
    }
    assert!(
        Draft::new()
            .text("epsilon", "NaN")
            .error()
            .starts_with("epsilon")
    );
    assert!(
        Draft::new()
            .text("momentum", "NaN")
            .error()
            .starts_with("momentum")
    );
    assert_eq!(
        Draft::new().text("axis", "3").error(),
        "input: axis 3 of a tensor of rank 3: -3 to 2 are its axes"
    );
}

#[test]
fn the_backward_pass_the_residual_and_the_activation_are_read() {
    let values: Vec<f32> = (0..12).map(|value| value as f32 / 8.0).collect();
    let halves =
        |value: fn(f32) -> [u8; 2]| values.iter().flat_map(|&v| value(v)).collect::<Vec<_>>();
    for (element, dtype, bytes) in [
        (
            Element::F16,
            Dtype::F16,
            halves(|v| f16::from_f32(v).to_le_bytes()),
        ),
        (
            Element::Bf16,
            Dtype::BF16,
            halves(|v| bf16::from_f32(v).to_le_bytes()),
        ),
    ] {
        let case = Draft::new()
            .raw("input", dtype, &[2, 3, 2], bytes.clone())
            .raw("residual", dtype, &[2, 3, 2], bytes.clone())
            .raw("grad_output", dtype, &[2, 3, 2], bytes)
            .floats("weight", &[3], &[1.0; 3])
            .floats("bias", &[3], &[1.0; 3])
            .floats("expected.grad_input", &[2, 3, 2], &values)
            .doubles("expected.grad_weight", &[3], &[0.5; 3])
            .floats("expected.grad_bias", &[3], &[0.5; 3])
            .floats("expected.grad_residual", &[2, 3, 2], &values)
            .text("activation", "leaky_relu")
            .text("activation_alpha", "0.25")
            .parse()
            .expect("a case");
        let problem = case.problem;
        assert_eq!(problem.element, element);
        assert_eq!(problem.x, values);
        assert_eq!(problem.residual.as_ref(), Some(&values));
        assert_eq!(problem.grad_output.as_ref(), Some(&values));
        assert_eq!(problem.activation, Activation::LeakyRelu { slope: 0.25 });
        let names: Vec<_> = case
            .expected
            .iter()
            .map(|expected| expected.kind.name)
            .collect();
        assert_eq!(names.len(), 5, "{names:?}");
    }
    for (name, activation) in [
        ("none", Activation::None),
        ("relu", Activation::Relu),
        ("leaky_relu", Activation::LeakyRelu { slope: 0.01 }),
        ("relu6", Activation::Relu6),
        ("silu", Activation::Silu),
        ("gelu", Activation::Gelu),
        ("gelu_tanh", Activation::GeluTanh),
    ] {
        let case = Draft::new()
            .text("activation", name)
            .parse()
            .expect("a case");
        assert_eq!(case.problem.activation, activation);
        assert!(FORMAT.contains(name));
    }
}

#[test]
fn what_would_have_no_effect_is_an_error() {
    assert_eq!(
        Draft::new()
            .text("activation", "relu")
            .text("activation_alpha", "0.1")
            .error(),
        "activation_alpha is given, and the activation is relu: only leaky_relu has one"
    );
    let gradient = [0.0; 12];
    assert_eq!(
        Draft::new()
            .floats("grad_output", &[2, 3, 2], &gradient)
            .error(),
        "grad_output is given, and no gradient is expected: one of expected.grad_* is needed"
    );
}

#[test]
fn gradients_need_what_they_are_gradients_of() {
    let draft = || Draft::new().floats("grad_output", &[2, 3, 2], &[0.0; 12]);
    for (name, sizes, needed) in [
        ("expected.grad_weight", &[3][..], "weight"),
        ("expected.grad_bias", &[3], "bias"),
        ("expected.grad_residual", &[2, 3, 2], "residual"),
    ] {
        let values = vec![0.0; sizes.iter().product()];
        assert_eq!(
            draft().floats(name, sizes, &values).error(),
            format!("{needed} is missing: {name} needs it")
        );
        assert_eq!(
            Draft::new().floats(name, sizes, &values).error(),
            format!("grad_output is missing: {name} needs it")
        );
    }
    assert_eq!(
        draft()
            .raw("residual", Dtype::F16, &[2, 3, 2], vec![0; 24])
            .floats("expected.grad_input", &[2, 3, 2], &[0.0; 12])
            .error(),
        "residual has elements of F16: F32, as in input, is needed"
    );
}

#[test]
fn what_is_allowed_is_that_of_the_tensor_and_its_storage() {
    let allowed = |name: &str, element| {
        let kind = KINDS.iter().find(|kind| kind.name == name).expect("a kind");
        kind.tolerance(None, None, element).to_string()
    };
    for (name, element, expected) in [
        ("expected.output", Element::F32, "1e-6 + 1e-5 * |expected|"),
        (
            "expected.output",
            Element::F16,
            "1.03e-6 + 4.98e-4 * |expected|",
        ),
        (
            "expected.running_var",
            Element::F16,
            "1e-6 + 1e-5 * |expected|",
        ),
        (
            "expected.grad_input",
            Element::F32,
            "1e-5 + 1e-4 * |expected|",
        ),
        (
            "expected.grad_input",
            Element::Bf16,
            "1e-5 + 4.01e-3 * |expected|",
        ),
        (
            "expected.grad_weight",
            Element::Bf16,
            "1e-5 + 1e-4 * |expected|",
        ),
    ] {
        assert_eq!(allowed(name, element), expected, "{name}, {element:?}");
    }
}

#[test]
fn unknown_names_are_errors() {
    let message = Draft::new().floats("gamma", &[3], &[1.0; 3]).error();
    assert!(
        message.starts_with("unknown tensor \"gamma\": the names are input, weight"),
        "{message}"
    );
    let message = Draft::new().text("eps", "1").error();
    assert!(
        message.starts_with("unknown metadata key \"eps\": the names are mode"),
        "{message}"
    );
    assert!(
        Draft::new()
            .floats("expected.y", &[3], &[1.0; 3])
            .error()
            .contains("\"expected.y\"")
    );
}

#[test]
fn tensors_of_other_sizes_types_or_company_are_errors() {
    let wrong = |draft: Draft| draft.error();
    assert_eq!(wrong(Draft::empty()), "input is missing");
    assert_eq!(
        wrong(Draft::new().floats("weight", &[2], &[1.0; 2])),
        "weight has the sizes [2]: [3] is needed"
    );
    assert_eq!(
        wrong(Draft::new().floats("expected.output", &[12], &[1.0; 12])),
        "expected.output has the sizes [12]: [2, 3, 2] is needed"
    );
    assert_eq!(
        wrong(Draft::new().doubles("bias", &[3], &[1.0; 3])),
        "bias has elements of F64: F32 is needed"
    );
    assert_eq!(
        wrong(Draft::new().raw("input", Dtype::I32, &[2, 3, 2], vec![0; 48])),
        "input has elements of I32: F32, F16 or BF16 is needed"
    );
    assert_eq!(
        wrong(Draft::new().raw("expected.output", Dtype::I64, &[2, 3, 2], vec![0; 96])),
        "expected.output has elements of I64: F32 or F64 is needed"
    );
    assert_eq!(
        wrong(Draft::new().floats("running_mean", &[3], &[1.0; 3])),
        "running_var is missing: running_mean needs it"
    );
    assert_eq!(
        wrong(Draft::new().floats("running_var", &[3], &[1.0; 3])),
        "running_mean is missing: running_var needs it"
    );
    assert_eq!(
        wrong(Draft::new().batches(&[], &[1])),
        "running_mean is missing: num_batches_tracked needs it"
    );
    assert_eq!(
        wrong(Draft::new().floats("expected.running_mean", &[3], &[1.0; 3])),
        "running_mean is missing: expected.running_mean needs it"
    );
    assert_eq!(
        wrong(Draft::with_state().batches(&[2], &[1, 2])),
        "num_batches_tracked has the sizes [2]: [] is needed"
    );
    assert!(
        wrong(Draft::with_state().batches(&[], &[-1])).starts_with("num_batches_tracked is -1")
    );
    assert!(
        wrong(Draft::with_state().batches(&[], &[1 << 32]))
            .starts_with("num_batches_tracked is 4294967296")
    );
    let message = wrong(Draft::with_state().floats("num_batches_tracked", &[], &[1.0]));
    assert_eq!(
        message,
        "num_batches_tracked has elements of F32: I64 is needed"
    );
}

#[test]
fn a_case_that_nothing_could_fail_is_an_error() {
    let draft = Draft::empty().floats("input", &[2, 3], &[0.0; 6]);
    assert!(matches!(draft.parse(), Err(CaseFileError::NothingExpected)));
}

#[test]
fn every_truncation_and_every_extension_is_an_error() {
    let whole = Draft::with_state().text("mode", "inference").bytes();
    for len in 0..whole.len() {
        assert!(
            CaseFile::parse(&whole[..len]).is_err(),
            "the first {len} bytes"
        );
    }
    assert!(CaseFile::parse(&[whole, vec![0]].concat()).is_err());
}

/// A file of this header, with this many bytes of values.
fn lie(header: &str, values: usize) -> Result<CaseFile, CaseFileError> {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + values, 0);
    CaseFile::parse(&bytes)
}

#[test]
fn lengths_that_lie_are_errors() {
    assert!(CaseFile::parse(&u64::MAX.to_le_bytes()).is_err());
    assert!(CaseFile::parse(&[0xff; 64]).is_err());
    for header in [
        "[]",
        "null",
        r#"{"input":{"dtype":"F32","shape":[2,2],"data_offsets":[0,1000]}}"#,
        r#"{"input":{"dtype":"F32","shape":[2,2],"data_offsets":[16,0]}}"#,
        r#"{"input":{"dtype":"F32","shape":[4294967296,4294967296,4],"data_offsets":[0,16]}}"#,
        r#"{"input":{"dtype":"F32","shape":[-2,2],"data_offsets":[0,16]}}"#,
        r#"{"input":{"dtype":"F32","shape":[2],"data_offsets":[0,16]}}"#,
        r#"{"input":{"dtype":"F99","shape":[2,2],"data_offsets":[0,16]}}"#,
        r#"{"input":{"shape":[2,2]}}"#,
    ] {
        assert!(lie(header, 16).is_err(), "{header}");
    }
}

#[test]
fn offsets_whose_sum_overflows_are_an_error() {
    // Eight tensors of nearly 2^61 bytes end just below 2^64.
    let size: u64 = (1 << 61) - 4;
    let entries: Vec<String> = (0..8)
        .map(|i| {
            let (start, end) = (i * size, (i + 1) * size);
            format!(
                r#""t{i}":{{"dtype":"F32","shape":[{}],"data_offsets":[{start},{end}]}}"#,
                size / 4
            )
        })
        .collect();
    let error = lie(&format!("{{{}}}", entries.join(",")), 0);
    assert!(
        matches!(
            error,
            Err(CaseFileError::Header(HeaderError::Outside { .. }))
        ),
        "{error:?}"
    );
}

#[test]
fn empty_inputs_are_cases_whatever_their_other_sizes() {
    let header = r#"{"input":{"dtype":"F32","shape":[0,3,4],"data_offsets":[0,0]},
        "expected.output":{"dtype":"F32","shape":[0,3,4],"data_offsets":[0,0]}}"#;
    assert!(lie(header, 0).is_ok_and(|case| case.problem.shape.is_empty()));
    let header = header.replace("[0,3,4]", "[0,9223372036854775807,4]");
    assert!(lie(&header, 0).is_ok_and(|case| case.problem.x.is_empty()));
}
