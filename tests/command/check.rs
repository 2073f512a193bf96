//! `check`: right and wrong results are told apart, and files of all kinds get an answer.

use std::collections::HashMap;
use std::fmt::Write;
use std::path::{Path, PathBuf};

use safetensors::tensor::{Dtype, TensorView};

use super::{command, command_with, exits, is_narrow, path_text, read_json};

/// A case of 2 x 2 x 2 values whose channels have the means 2 and 4 and the variances 1 and 9, with epsilon 0.
fn case(folder: &Path, name: &str, output: [f32; 8]) -> PathBuf {
    case_from(folder, name, output, "by hand")
}

/// The same with this source.
fn case_from(folder: &Path, name: &str, output: [f32; 8], source: &str) -> PathBuf {
    let bytes = |values: &[f32]| {
        values
            .iter()
            .flat_map(|value| value.to_le_bytes())
            .collect::<Vec<u8>>()
    };
    let tensors = [
        (
            "input",
            vec![2, 2, 2],
            bytes(&[1.0, 3.0, 1.0, 7.0, 3.0, 1.0, 7.0, 1.0]),
        ),
        ("weight", vec![2], bytes(&[1.0, 2.0])),
        ("bias", vec![2], bytes(&[0.0, 1.0])),
        ("running_mean", vec![2], bytes(&[0.0, 0.0])),
        ("running_var", vec![2], bytes(&[0.0, 0.0])),
        ("expected.output", vec![2, 2, 2], bytes(&output)),
        ("expected.running_mean", vec![2], bytes(&[1.0, 2.0])),
        (
            "expected.running_var",
            vec![2],
            bytes(&[0.5 * 4.0 / 3.0, 4.5 * 4.0 / 3.0]),
        ),
    ];
    let views = tensors.iter().map(|(name, sizes, bytes)| {
        (
            *name,
            TensorView::new(Dtype::F32, sizes.clone(), bytes).expect("a consistent tensor"),
        )
    });
    let metadata = HashMap::from(
        [("epsilon", "0"), ("momentum", "0.5"), ("source", source)]
            .map(|(key, value)| (key.into(), value.into())),
    );
    let path = folder.join(name);
    std::fs::write(
        &path,
        safetensors::serialize(views, Some(metadata)).expect("a consistent case"),
    )
    .expect("a writable folder");
    path
}

const RIGHT: [f32; 8] = [-1.0, 1.0, -1.0, 3.0, 1.0, -1.0, 3.0, -1.0];

fn wrong() -> [f32; 8] {
    let mut output = RIGHT;
    output[6] = 3.01;
    output
}

#[test]
fn check_finds_this_adapter_right_and_says_how_it_computes() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("found.json");
    let (out, _) = exits(&command(&["check", "--json", path_text(&json)]), 0);
    assert!(
        out.contains("mean 1e6, deviation 1") && !out.contains("WRONG"),
        "{out}"
    );
    is_narrow(&out);
    for said in [
        "mean in two parts",
        "A NaN:",
        "ubnormal",
        "sqrt",
        "ubgroups",
    ] {
        assert!(out.contains(said), "{said} in {out}");
    }

    let report = read_json(&json);
    assert_eq!(report["verdict"], "right");
    // What the library's accuracy rests on.
    assert_eq!(report["numerics"]["two_part_mean_survives"], true);
    assert_eq!(report["numerics"]["bits_tell_nan"], true);
    assert!(report["numerics"]["quotient_ulp"].as_f64().is_some());
    let steps = report["checked"].as_array().expect("steps");
    assert_eq!(
        out.lines().last().expect("a summary"),
        format!("{0} of {0} steps are right", steps.len())
    );
    for step in steps {
        assert_eq!(step["verdict"], "right", "{step}");
        assert!(!step["tensors"].as_array().expect("tensors").is_empty());
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "temporary files are left"
    );
}

#[test]
fn check_passes_a_right_case() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = case(folder.path(), "right.safetensors", RIGHT);
    let (out, err) = exits(&command(&["check", path_text(&path)]), 0);
    for part in [
        "expected.output: ok",
        "expected.running_mean: ok",
        "expected.running_var: ok",
        "[2, 2, 2], channels on axis 1",
        "by hand",
        "% of the allowed 1e-6 + 1e-5 * |expected|",
        "1 right",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(err.is_empty(), "{err}");
}

#[test]
fn check_names_the_wrong_tensor_and_the_place() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = case(folder.path(), "wrong.safetensors", wrong());
    let json = folder.path().join("found.json");
    let (out, _) = exits(
        &command(&["check", path_text(&path), "--json", path_text(&json)]),
        1,
    );
    assert!(
        out.contains("expected.output: WRONG, 1 of 8 values outside, off by 1.0e-2 at [1, 1, 0]"),
        "{out}"
    );
    assert!(out.contains("expected.running_mean: ok"), "{out}");

    let report = read_json(&json);
    assert_eq!(report["verdict"], "wrong");
    let tensor = &report["checked"][0]["tensors"][0];
    assert_eq!(tensor["name"], "expected.output");
    assert_eq!(tensor["right"], false);
    assert_eq!(tensor["worst"]["at"], serde_json::json!([1, 1, 0]));
    assert_eq!(tensor["allowed"], "1e-6 + 1e-5 * |expected|");

    let (out, _) = exits(&command(&["check", path_text(&path), "--atol", "0.1"]), 0);
    assert!(out.contains("the allowed 1e-1 + 1e-5"), "{out}");
    exits(&command(&["check", path_text(&path), "--rtol", "0.1"]), 0);
}

#[test]
fn colours_are_for_terminals_and_not_where_they_are_not_wanted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = case(folder.path(), "wrong.safetensors", wrong());
    for (environment, coloured) in [
        (&[][..], false),
        (&[("CLICOLOR_FORCE", "1")], true),
        (&[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
    ] {
        let output = command_with(environment, &["check", path_text(&path), "no such file"]);
        let (out, err) = exits(&output, 1);
        assert_eq!(out.contains('\u{1b}'), coloured, "{environment:?}: {out:?}");
        assert_eq!(err.contains('\u{1b}'), coloured, "{environment:?}: {err:?}");
    }
}

#[test]
fn a_terminal_obeys_nothing_that_a_file_says() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let sly = case_from(folder.path(), "sly", RIGHT, "\u{1b}]0;sly\u{7}");
    let header = r#"{"\u001b[2J":{"dtype":"F32","shape":[1],"data_offsets":[0,8]}}"#;
    let broken = raw(folder.path(), "broken", header, 8);
    let arguments = ["check", path_text(&sly), path_text(&broken)];
    let (out, err) = exits(&command_with(&[("CLICOLOR_FORCE", "1")], &arguments), 2);
    assert!(
        out.contains("(\\u{1b}]0;sly\\u{7})") && !out.contains('\u{1b}'),
        "{out:?}"
    );
    assert!(
        err.contains("\\u{1b}[2J: its offsets") && !err.contains("\u{1b}[2J"),
        "{err:?}"
    );
}

#[test]
fn one_broken_file_does_not_stop_the_others() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let right = case(folder.path(), "right.safetensors", RIGHT);
    let wrong = case(folder.path(), "wrong.safetensors", wrong());
    let broken = folder.path().join("broken.safetensors");
    let whole = std::fs::read(&right).expect("written");
    std::fs::write(&broken, &whole[..whole.len() - 1]).expect("a writable folder");
    let absent = folder.path().join("absent.safetensors");
    let [right, wrong, broken, absent] =
        [&right, &wrong, &broken, &absent].map(|path| path_text(path));
    let json = folder.path().join("found.json");

    let arguments = ["check", broken, absent, right, "--json", path_text(&json)];
    let (out, err) = exits(&command(&arguments), 2);
    assert!(
        out.contains("1 right, 0 wrong, 2 could not be checked"),
        "{out}"
    );
    assert!(
        err.contains("broken.safetensors: not a whole .safetensors file"),
        "{err}"
    );
    assert!(err.contains("absent.safetensors"), "{err}");
    let report = read_json(&json);
    assert_eq!(report["verdict"], "broken");
    let error = report["checked"][0]["error"].as_str().expect("a reason");
    assert!(err.contains(error), "{error}");
    // A wrong result weighs more than a file that could not be read.
    exits(&command(&["check", broken, wrong]), 1);
}

/// A file of this header and so many bytes of zeros.
fn raw(folder: &Path, name: &str, header: &str, data: usize) -> PathBuf {
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.bytes());
    bytes.resize(bytes.len() + data, 0);
    let path = folder.join(name);
    std::fs::write(&path, bytes).expect("a writable folder");
    path
}

#[test]
fn files_that_lie_are_named_errors() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let input = |sizes: &str, begin: u64, end: u64| {
        format!(r#""input":{{"dtype":"F32","shape":{sizes},"data_offsets":[{begin},{end}]}}"#)
    };
    let output = |sizes: &str, begin: u64, end: u64| {
        input(sizes, begin, end).replace("input", "expected.output")
    };
    let with = |key: &str, value: &str| {
        format!(
            r#"{{"__metadata__":{{"{key}":"{value}"}},{},{}}}"#,
            input("[2,2]", 0, 16),
            output("[2,2]", 16, 32)
        )
    };
    let huge = "[1,18446744073709551615]";
    let cases = [
        (
            format!("{{{},{}}}", input("[2,2]", 0, 16), output("[2,2]", 8, 24)),
            "input and expected.output overlap",
        ),
        (
            format!("{{{},{}}}", input("[2,2]", 0, 16), output("[2,2]", 16, 32)),
            "expected.output ends at byte 32 of 24",
        ),
        (
            format!("{{{},{}}}", input(huge, 0, 16), output("[2]", 16, 24)),
            "input: the sizes [1, 18446744073709551615] overflow",
        ),
        (
            format!("{{{0},{0}}}", input("[2,2]", 0, 16)),
            "\"input\" is there twice",
        ),
        (
            r#"{"weights":{"dtype":"F32","shape":[6],"data_offsets":[0,24]}}"#.to_owned(),
            "unknown tensor \"weights\"",
        ),
        (
            r#"{"__metadata__":{"epsilon":1}}"#.to_owned(),
            "the metadata does not parse",
        ),
        (with("epsilon", "NaN"), "epsilon is \"NaN\""),
        (with("eps", "1"), "unknown metadata key \"eps\""),
        (
            with("activation", "relu"),
            "activation \"relu\" is not supported yet",
        ),
    ];
    let mut paths = Vec::new();
    let mut wanted = Vec::new();
    for (index, (header, message)) in cases.into_iter().enumerate() {
        let data = if header.contains("__metadata__\":{\"e")
            || message.contains("unknown m")
            || message.contains("relu")
        {
            32
        } else {
            24
        };
        paths.push(raw(
            folder.path(),
            &format!("{index}.safetensors"),
            &header,
            data,
        ));
        wanted.push(message);
    }
    // Lengths of headers far beyond the file, and files without end.
    let lengths = [
        (u64::MAX, "at most 1048576"),
        (1 << 40, "at most 1048576"),
        (1000, "ends at byte 1008 of 72"),
    ];
    for (length, message) in lengths {
        let path = folder.path().join(format!("length-{length}.safetensors"));
        let bytes = [length.to_le_bytes().as_slice(), &[b' '; 64]].concat();
        std::fs::write(&path, bytes).expect("a writable folder");
        paths.push(path);
        wanted.push(message);
    }
    if cfg!(unix) {
        paths.push("/dev/zero".into());
        wanted.push("the header does not parse");
        paths.push(folder.path().into());
        wanted.push("directory");
    }
    let arguments: Vec<&str> = ["check"]
        .into_iter()
        .chain(paths.iter().map(|path| path_text(path)))
        .collect();
    let (_, err) = exits(&command(&arguments), 2);
    assert_eq!(err.lines().count(), wanted.len(), "{err}");
    for (line, (path, message)) in err.lines().zip(paths.iter().zip(wanted)) {
        assert!(
            line.starts_with(&format!("error: {}: ", path_text(path))),
            "{line}"
        );
        assert!(line.contains(message), "{message} in {line}");
    }
}

#[test]
fn an_empty_input_of_any_channels_is_answered() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (channels, code) in [
        ("3", 0),
        ("18446744073709551615", 2),
        ("4611686018427387904", 2),
    ] {
        let tensor = format!(r#"{{"dtype":"F32","shape":[0,{channels}],"data_offsets":[0,0]}}"#);
        let header = format!(r#"{{"input":{tensor},"expected.output":{tensor}}}"#);
        let path = raw(folder.path(), "empty.safetensors", &header, 0);
        exits(&command(&["check", path_text(&path)]), code);
    }
}

#[test]
fn mutated_files_are_answered_one_and_all() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let whole = std::fs::read(case(folder.path(), "right.safetensors", RIGHT)).expect("written");
    // A linear congruential generator (Knuth's MMIX): the same files on every run.
    let mut state = 7u64;
    let mut below = |most: usize| {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1_442_695_040_888_963_407);
        (state >> 33) as usize % most
    };
    let mut arguments = vec!["check".to_owned()];
    for index in 0..200 {
        let mut bytes = whole.clone();
        for _ in 0..=index % 3 {
            let at = below(bytes.len());
            match below(4) {
                0 => bytes[at] = below(256) as u8,
                // digits become others: sizes and offsets that parse
                1 => bytes
                    .iter_mut()
                    .skip(at)
                    .filter(|byte| byte.is_ascii_digit())
                    .take(1)
                    .for_each(|byte| *byte = b'0' + below(10) as u8),
                2 => bytes.insert(at, below(256) as u8),
                _ => drop(bytes.remove(at)),
            }
        }
        let path = folder.path().join(format!("{index}.safetensors"));
        std::fs::write(&path, bytes).expect("a writable folder");
        arguments.push(path_text(&path).to_owned());
    }
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let output = command(&arguments);
    let code = output.status.code();
    let (out, err) = exits(&output, code.expect("no signal"));
    assert!(matches!(code, Some(0..=2)), "{code:?}: {err}");
    let mut counts = String::new();
    let summary = out.lines().last().expect("a summary");
    for word in summary
        .split([' ', ','])
        .filter(|word| word.parse::<usize>().is_ok())
    {
        write!(counts, "{word} ").expect("a String takes all");
    }
    let sum: usize = counts
        .split_whitespace()
        .map(|count| count.parse::<usize>().expect("a number"))
        .sum();
    assert_eq!(sum, 200, "{summary}");
}
