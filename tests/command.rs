//! The command as people and scripts meet it: what it prints, writes and exits with. Needs an adapter.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[path = "command/check.rs"]
mod check;
#[path = "command/everywhere.rs"]
mod everywhere;
#[path = "command/info.rs"]
mod info;

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

/// The command in another environment.
fn command_with(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
        .args(arguments)
        .envs(environment.iter().copied())
        .output()
        .expect("the command starts")
}

fn read_json(path: &Path) -> Value {
    serde_json::from_slice(&std::fs::read(path).expect("written")).expect("JSON")
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
fn bench_reports_a_shape_for_people_and_for_programs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("rows.json");
    let arguments = [
        "bench",
        "--shape",
        "2x3x5x7",
        "--layout",
        "channels-last",
        "--json",
        path_text(&json),
    ];
    let (out, _) = exits(&command(&arguments), 0);
    assert!(
        out.contains("2x3x5x7") && out.contains("2 of 2 results"),
        "{out}"
    );
    is_narrow(&out);

    let report: Value =
        serde_json::from_slice(&std::fs::read(&json).expect("written")).expect("JSON");
    for key in ["name", "backend", "driver"] {
        assert!(report["adapter"][key].is_string(), "{key}");
    }
    let rows = report["rows"].as_array().expect("rows");
    let operations: Vec<_> = rows.iter().map(|row| row["operation"].as_str()).collect();
    assert_eq!(operations, [Some("inference"), Some("training")]);
    for row in rows {
        assert_eq!(row["layout"], "channels-last");
        assert_eq!(row["shape"], serde_json::json!([2, 3, 5, 7]));
        assert_eq!(row["element"], "f32");
        for time in [
            "cpu_ms",
            "textbook_ms",
            "gpu_ms",
            "end_to_end_ms",
            "copy_fraction",
            "speed_up",
        ] {
            assert!(
                row[time].as_f64().is_some_and(|number| number > 0.0),
                "{time} of {row}"
            );
        }
        assert!(
            row["max_error"].as_f64().is_some_and(|error| error <= 2e-6),
            "{row}"
        );
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "temporary files are left"
    );
}

#[test]
fn bench_is_what_happens_without_a_command() {
    let (out, _) = exits(
        &command(&["--shape", "12x8", "--operation", "inference"]),
        0,
    );
    assert!(out.contains("1 of 1 results"), "{out}");
}

#[test]
fn bench_refuses_what_it_cannot_measure() {
    let (_, err) = exits(&command(&["bench", "--shape", "0x3x4"]), 2);
    assert!(err.contains("no values"), "{err}");
    let (_, err) = exits(
        &command(&["bench", "--shape", "1x5", "--operation", "training"]),
        2,
    );
    assert!(err.contains("one value per channel"), "{err}");
    let (_, err) = exits(
        &command(&[
            "bench",
            "--shape",
            "2x3",
            "--json",
            "no/such/folder/rows.json",
        ]),
        2,
    );
    assert!(err.contains("no/such/folder/rows.json"), "{err}");
}
