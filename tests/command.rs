//! The command as people and scripts meet it: what it prints, writes and exits with. Needs an adapter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};
#[path = "command/bench.rs"]
mod bench;

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).expect("the command prints UTF-8")
}

/// Checks the exit code; gives standard output and standard error.
#[track_caller]
fn exits(output: &Output, code: i32) -> (String, String) {
    let (out, err) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{err}");
    (out, err)
}

/// A case of 2 x 2 x 2 values whose channels have the means 2 and 4 and the variances 1 and 9, with epsilon 0.
fn case(folder: &Path, name: &str, output: [f32; 8]) -> PathBuf {
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
        [("epsilon", "0"), ("momentum", "0.5"), ("source", "by hand")]
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

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

/// Whether the lines after the adapter's, whose name may be long, fit a narrow terminal.
#[track_caller]
fn is_narrow(out: &str) {
    assert!(
        out.lines().skip(3).all(|line| line.chars().count() <= 80),
        "{out}"
    );
}

#[test]
fn check_finds_this_adapter_right() {
    let (out, _) = exits(&command(&["check"]), 0);
    assert!(
        out.contains("mean 1e6, deviation 1") && !out.contains("WRONG"),
        "{out}"
    );
    is_narrow(&out);
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
        "by hand",
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
    let (out, _) = exits(&command(&["check", path_text(&path)]), 1);
    assert!(
        out.contains(
            "expected.output: WRONG, 1 of 8 values outside; largest error 1.0e-2 at [1, 1, 0]"
        ),
        "{out}"
    );
    assert!(out.contains("expected.running_mean: ok"), "{out}");

    let (out, _) = exits(&command(&["check", path_text(&path), "--atol", "0.1"]), 0);
    assert!(out.contains("allowed error: 1e-1 + 1e-5"), "{out}");
    exits(&command(&["check", path_text(&path), "--rtol", "0.1"]), 0);
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

    let (out, err) = exits(&command(&["check", broken, absent, right]), 2);
    assert!(
        out.contains("1 right, 0 wrong, 2 could not be checked"),
        "{out}"
    );
    assert!(
        err.contains("broken.safetensors: not a whole .safetensors file"),
        "{err}"
    );
    assert!(err.contains("absent.safetensors"), "{err}");
    // A wrong result weighs more than a file that could not be read.
    exits(&command(&["check", broken, wrong]), 1);
}

#[test]
fn without_an_adapter_one_message_names_the_fix() {
    // Each is a backend that this system cannot have.
    let nowhere = if cfg!(windows) { "metal" } else { "dx12" };
    for (variable, value) in [("WGPU_BACKEND", nowhere), ("WGPU_ADAPTER_NAME", "nobody's")] {
        for arguments in [&["bench"][..], &["check"], &["check", "case.safetensors"]] {
            let output = Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
                .args(arguments)
                .env(variable, value)
                .output()
                .expect("the command starts");
            let (out, err) = exits(&output, 2);
            assert!(out.is_empty(), "{out}");
            assert!(err.starts_with("error: no GPU adapter"), "{err}");
            assert_eq!(err.lines().count(), 1, "{err}");
            if variable == "WGPU_BACKEND" {
                assert!(err.contains("install a driver"), "{err}");
            }
        }
    }
}

#[test]
fn wrong_usage_is_told_apart_from_wrong_results() {
    for arguments in [
        &["bench", "--no-such-flag"][..],
        &["bench", "--shape", "12"],
        &["bench", "--operation", "backward"],
        &["bench", "--batch", "0"],
        &["bench", "--batch", "4", "--shape", "2x3"],
        &["bench", "--quick", "--full"],
        &["bench", "--wgsl"],
        &["bench", "--explain", "2x3", "--shape", "2x3"],
        &["bench", "--explain", "2x3", "--json", "rows.json"],
        &["check", "--rtol", "1e-3"],
        &["no-such-command"],
    ] {
        exits(&command(arguments), 2);
    }
}

#[test]
fn help_and_version_answer() {
    let (out, _) = exits(&command(&["--version"]), 0);
    assert_eq!(
        out.trim(),
        concat!("wgpu-batchnorm ", env!("CARGO_PKG_VERSION"))
    );
    let (out, _) = exits(&command(&["--help"]), 0);
    assert!(
        out.contains("Examples:") && out.contains("wgpu-batchnorm check"),
        "{out}"
    );
}
