//! Whatever is done to a file, it is a case or an error, and takes no more memory than its bytes account for.

use proptest::prelude::*;
use serde_json::{Value, json};
use wgpu_batchnorm::{Limits, Plan};

use super::tests::Draft;
use super::*;

/// Bytes of values per byte of a file: f32 input becomes f32, f32 expectations become f64.
const GROWTH: usize = 2;

/// A file with everything that a case can have.
fn whole() -> Vec<u8> {
    let values: Vec<f32> = (0..12).map(|value| value as f32).collect();
    Draft::with_state()
        .floats("weight", &[3], &[1.0; 3])
        .floats("bias", &[3], &[0.5; 3])
        .batches(&[], &[3])
        .floats("expected.output", &[2, 3, 2], &values)
        .floats("expected.running_mean", &[3], &[0.0; 3])
        .floats("expected.running_var", &[3], &[1.0; 3])
        .text("mode", "training")
        .text("epsilon", "1e-5")
        .text("momentum", "0.1")
        .text("axis", "1")
        .text("running_variance", "unbiased")
        .bytes()
}

/// What holds of any bytes.
fn answers(bytes: &[u8]) -> Result<(), TestCaseError> {
    let parsed = CaseFile::parse(bytes);
    let read = CaseFile::read(bytes);
    prop_assert_eq!(parsed.is_ok(), read.is_ok(), "{:?} and {:?}", parsed, read);
    let Ok(case) = parsed else {
        return Ok(());
    };
    let problem = &case.problem;
    prop_assert_eq!(problem.x.len() as u64, problem.shape.len());
    prop_assert!(problem.epsilon.is_finite() && problem.epsilon >= 0.0);
    let channels = problem.shape.channels() as usize;
    prop_assert_eq!(case.sizes[case.axis], channels);
    let state = problem.state();
    let vectors = [
        problem.gamma.as_ref(),
        problem.beta.as_ref(),
        state.map(|state| &state.mean),
        state.map(|state| &state.variance),
    ];
    let mut taken = 4 * problem.x.len();
    for vector in vectors.into_iter().flatten() {
        prop_assert_eq!(vector.len(), channels);
        taken += 4 * channels;
    }
    for expected in &case.expected {
        prop_assert_eq!(
            expected.values.len(),
            expected.sizes.iter().product::<usize>()
        );
        taken += 8 * expected.values.len();
    }
    prop_assert!(taken <= GROWTH * bytes.len());
    // What is planned next does not panic either.
    let _ = Plan::training(&Limits::default(), problem.shape, &problem.training());
    let _ = Plan::inference(&Limits::default(), problem.shape, &problem.inference());
    Ok(())
}

/// A change of a byte, or of the number of bytes.
#[derive(Clone, Debug)]
enum Edit {
    Set(prop::sample::Index, u8),
    Insert(prop::sample::Index, Vec<u8>),
    Remove(prop::sample::Index, usize),
    Repeat(prop::sample::Index, usize),
}

fn edit() -> impl Strategy<Value = Edit> {
    let at = any::<prop::sample::Index>;
    let some = || 1usize..40;
    prop_oneof![
        (at(), any::<u8>()).prop_map(|(at, byte)| Edit::Set(at, byte)),
        (at(), prop::collection::vec(any::<u8>(), some()))
            .prop_map(|(at, bytes)| Edit::Insert(at, bytes)),
        (at(), some()).prop_map(|(at, count)| Edit::Remove(at, count)),
        (at(), some()).prop_map(|(at, count)| Edit::Repeat(at, count)),
    ]
}

fn apply(bytes: &mut Vec<u8>, edit: Edit) {
    let part = |bytes: &[u8], at: prop::sample::Index, count: usize| {
        let start = at.index(bytes.len().max(1));
        start..bytes.len().min(start + count)
    };
    match edit {
        Edit::Set(at, byte) if !bytes.is_empty() => {
            let at = at.index(bytes.len());
            bytes[at] = byte;
        }
        Edit::Set(..) => {}
        Edit::Insert(at, new) => {
            let at = at.index(bytes.len() + 1);
            bytes.splice(at..at, new);
        }
        Edit::Remove(at, count) => drop(bytes.drain(part(bytes, at, count))),
        Edit::Repeat(at, count) => {
            let part = part(bytes, at, count);
            let copy = bytes[part.clone()].to_vec();
            bytes.splice(part.start..part.start, copy);
        }
    }
}

/// Numbers at which sizes, offsets and sums of them go wrong.
fn number() -> impl Strategy<Value = Value> {
    prop_oneof![
        (0u64..60).prop_map(|number| json!(number)),
        (0u32..64, -2i64..3)
            .prop_map(|(bits, near)| json!((1u64 << bits).wrapping_add_signed(near))),
        Just(json!(u64::MAX)),
        Just(json!(-1)),
        Just(json!(0.5)),
        Just(json!(1e300)),
        Just(Value::Null),
    ]
}

fn dtype() -> impl Strategy<Value = Value> {
    prop::sample::select(vec![
        "BOOL", "F4", "F8_E5M2", "U8", "I16", "F16", "BF16", "F32", "F64", "I64", "U64", "C64",
        "f32", "",
    ])
    .prop_map(|name| json!(name))
}

/// A change of the header as a program that writes files wrongly makes it.
#[derive(Clone, Debug)]
enum Lie {
    Size(usize, Value),
    Sizes(Vec<Value>),
    Offset(usize, Value),
    Dtype(Value),
    Rename(String),
    Drop,
    Metadata(String, Value),
}

fn lie() -> impl Strategy<Value = (prop::sample::Index, Lie)> {
    let known: Vec<String> = TENSORS
        .iter()
        .copied()
        .chain(NOT_BUILT)
        .chain([
            "expected.output",
            "expected.running_mean",
            "gamma",
            "",
            "__metadata__",
        ])
        .map(str::to_owned)
        .collect();
    let keys: Vec<String> = METADATA
        .iter()
        .chain(&["eps", ""])
        .map(|key| (*key).to_owned())
        .collect();
    let texts = prop::sample::select(vec![
        "NaN",
        "-NaN",
        "inf",
        "1e400",
        "-1",
        "-0",
        "1e-45",
        "0",
        "inference",
        "cumulative",
        "-3",
        "2",
        "-9223372036854775808",
        "99999999999999999999",
        "biased",
        "relu",
        "none",
        "",
        "\u{0}",
    ])
    .prop_map(|text| json!(text));
    let lies = prop_oneof![
        (0usize..3, number()).prop_map(|(axis, size)| Lie::Size(axis, size)),
        prop::collection::vec(number(), 0..5).prop_map(Lie::Sizes),
        (0usize..2, number()).prop_map(|(end, offset)| Lie::Offset(end, offset)),
        dtype().prop_map(Lie::Dtype),
        prop::sample::select(known).prop_map(Lie::Rename),
        Just(Lie::Drop),
        (
            prop::sample::select(keys),
            prop_oneof![4 => texts, 1 => number()]
        )
            .prop_map(|(key, value)| Lie::Metadata(key, value)),
    ];
    (any::<prop::sample::Index>(), lies)
}

fn tell(header: &mut serde_json::Map<String, Value>, at: prop::sample::Index, lie: Lie) {
    if let Lie::Metadata(key, value) = lie {
        header["__metadata__"][key] = value;
        return;
    }
    let names: Vec<String> = header
        .iter()
        .filter(|(_, entry)| entry.get("shape").is_some())
        .map(|(name, _)| name.clone())
        .collect();
    if names.is_empty() {
        return;
    }
    let name = at.get(&names);
    let entry = &mut header[name];
    match lie {
        Lie::Size(axis, size) => {
            if let Some(old) = entry["shape"].get_mut(axis) {
                *old = size;
            }
        }
        Lie::Sizes(sizes) => entry["shape"] = json!(sizes),
        Lie::Offset(end, offset) => entry["data_offsets"][end] = offset,
        Lie::Dtype(dtype) => entry["dtype"] = dtype,
        Lie::Rename(new) if new != "__metadata__" || name == "input" => {
            let entry = header.remove(name).unwrap_or_default();
            header.insert(new, entry);
        }
        Lie::Drop => drop(header.remove(name)),
        Lie::Rename(_) | Lie::Metadata(..) => {}
    }
}

/// A file's header and what follows it.
fn split(bytes: &[u8]) -> (serde_json::Map<String, Value>, Vec<u8>) {
    let length: [u8; 8] = bytes[..8].try_into().expect("eight bytes");
    let (header, data) = bytes[8..].split_at(u64::from_le_bytes(length) as usize);
    (serde_json::from_slice(header).expect("JSON"), data.to_vec())
}

fn joined(header: &serde_json::Map<String, Value>, data: &[u8]) -> Vec<u8> {
    let header = serde_json::to_vec(header).expect("JSON");
    [&(header.len() as u64).to_le_bytes(), &header[..], data].concat()
}

#[test]
fn the_unchanged_file_is_a_case() {
    assert!(CaseFile::parse(&whole()).is_ok());
    let (header, data) = split(&whole());
    assert!(CaseFile::parse(&joined(&header, &data)).is_ok());
    answers(&whole()).expect("it holds");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn bytes_that_are_changed_are_answered(edits in prop::collection::vec(edit(), 1..6)) {
        let mut bytes = whole();
        for edit in edits {
            apply(&mut bytes, edit);
        }
        answers(&bytes)?;
    }

    #[test]
    fn headers_that_are_changed_are_answered(
        lies in prop::collection::vec(lie(), 1..5),
        behind in 0usize..30,
        less in any::<bool>(),
    ) {
        let (mut header, mut data) = split(&whole());
        for (at, lie) in lies {
            tell(&mut header, at, lie);
        }
        // Half of the files have as many bytes as before.
        data.resize(if less { data.len().saturating_sub(behind) } else { data.len() }, 0);
        answers(&joined(&header, &data))?;
    }

    #[test]
    fn headers_that_are_true_of_other_tensors_are_answered(
        sizes in prop::collection::vec(0usize..5, 0..5),
        axis in -6i64..6,
        mode in prop::sample::select(vec!["training", "inference"]),
        state in any::<bool>(),
    ) {
        let len = sizes.iter().product();
        let values = vec![1.0; len];
        let rank = i64::try_from(sizes.len()).expect("small");
        let index = usize::try_from(axis.rem_euclid(rank.max(1))).expect("not negative");
        let channels = sizes.get(index).copied().unwrap_or(1);
        let mut draft = Draft::empty().floats("input", &sizes, &values).floats("expected.output", &sizes, &values);
        if state {
            let vector = vec![1.0; channels];
            draft = draft.floats("running_mean", &[channels], &vector).floats("running_var", &[channels], &vector);
        }
        let bytes = draft.text("axis", &axis.to_string()).text("mode", mode).bytes();
        let is_case = rank >= 2 && (-rank..rank).contains(&axis);
        prop_assert_eq!(CaseFile::parse(&bytes).is_ok(), is_case);
        answers(&bytes)?;
    }

    #[test]
    fn anything_at_all_is_answered(bytes in prop::collection::vec(any::<u8>(), 0..200), length in any::<Option<u8>>()) {
        let mut bytes = bytes;
        if let Some(length) = length {
            bytes.splice(0..0, u64::from(length).to_le_bytes());
        }
        answers(&bytes)?;
    }
}
