//! The command as people and scripts meet it: what it prints, writes and exits with. Needs an adapter.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use safetensors::tensor::{Dtype, TensorView};
use serde_json::Value;

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
fn bench_reports_a_shape_for_people_and_for_programs() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("rows.json");
    let arguments = [
        "bench",
        "--quick",
        "--shape",
        "2x3x5x7",
        "--layout",
        "channels-last",
        "--json",
        path_text(&json),
    ];
    let (out, err) = exits(&command(&arguments), 0);
    assert!(err.is_empty(), "a progress bar without a terminal: {err}");
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
    let date = report["date"].as_str().expect("a date");
    assert!(date.starts_with("20") && date.ends_with('Z'), "{date}");
    assert_eq!(report["version"], env!("CARGO_PKG_VERSION"));
    let typed = report["command"].as_str().expect("a command line");
    assert!(
        typed.starts_with("wgpu-batchnorm bench --quick --shape 2x3x5x7"),
        "{typed}"
    );
    let clock = &report["clock"]["source"];
    assert!(
        clock == "timestamps" || report["clock"]["reason"].is_string(),
        "{clock}"
    );
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
        for time in [
            "cpu_ms",
            "textbook_ms",
            "gpu_ms",
            "end_to_end_ms",
            "copy_ms",
        ] {
            let [first, median, third] = ["_q1", "", "_q3"]
                .map(|quartile| row[format!("{time}{quartile}")].as_f64().expect("a time"));
            assert!(first <= median && median <= third, "{time} of {row}");
        }
        // Both are of one clock, and so is their ratio.
        let ratio = row["gigabytes_per_second"].as_f64().expect("a speed")
            / row["copy_gigabytes_per_second"].as_f64().expect("a speed");
        let fraction = row["copy_fraction"].as_f64().expect("a fraction");
        assert!((ratio / fraction - 1.0).abs() < 1e-9, "{row}");
        assert!(
            row["clock"] == "timestamps" || row["clock"] == "wall",
            "{row}"
        );
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

/// Runs a quick measurement of a tiny shape, with these arguments on top.
#[track_caller]
fn quick(arguments: &[&str]) -> String {
    let usual = [
        "bench",
        "--quick",
        "--shape",
        "4x6",
        "--operation",
        "training",
    ];
    exits(&command(&[&usual[..], arguments].concat()), 0).0
}

#[test]
fn bench_writes_a_page_and_a_table_that_stand_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [page, rows, json] =
        ["page.html", "rows.csv", "rows.json"].map(|name| folder.path().join(name));
    let out = quick(&[
        "--html",
        path_text(&page),
        "--csv",
        path_text(&rows),
        "--json",
        path_text(&json),
    ]);
    assert!(
        out.contains("Milliseconds by tensor size") && out.contains("64 KiB"),
        "{out}"
    );

    let page = std::fs::read_to_string(page).expect("written");
    for loads in [
        "http:", "https:", "src=", "href=", "url(", "@import", "<script", "<link",
    ] {
        assert!(!page.contains(loads), "{loads} in the page");
    }
    for part in [
        "<!DOCTYPE html>",
        "prefers-color-scheme",
        "4x6",
        "--html",
        "Time against tensor size",
    ] {
        assert!(page.contains(part), "{part} in the page");
    }

    let mut reader = csv::Reader::from_path(rows).expect("written");
    let names = reader.headers().expect("names").clone();
    let records: Vec<_> = reader
        .records()
        .map(|record| record.expect("a row"))
        .collect();
    assert_eq!(records.len(), 1);
    let field = |name: &str| {
        let column = names.iter().position(|known| known == name).expect(name);
        records[0][column].to_owned()
    };
    assert_eq!(field("shape"), "4x6");
    assert!(field("gpu_ms").parse::<f64>().expect("a time") > 0.0);

    let report: Value =
        serde_json::from_slice(&std::fs::read(json).expect("written")).expect("JSON");
    let points = report["size_sweep"]["points"].as_array().expect("points");
    assert_eq!(points[0]["bytes"], 64 << 10);
    for point in points {
        assert_eq!(point["operation"], "training");
        assert!(
            point["gpu_ms"].as_f64().is_some_and(|time| time > 0.0),
            "{point}"
        );
        assert!(
            point["max_error"]
                .as_f64()
                .is_some_and(|error| error <= 2e-6),
            "{point}"
        );
    }
}

#[test]
fn bench_compares_with_an_older_run() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let old = folder.path().join("old.json");
    quick(&["--json", path_text(&old)]);
    let out = quick(&["--compare", path_text(&old)]);
    assert!(out.contains("1 rows in both, GPU new/old"), "{out}");
    assert!(!out.contains("only in") && !out.contains("note:"), "{out}");

    let text = std::fs::read_to_string(&old).expect("written");
    let mut report: Value = serde_json::from_str(&text).expect("JSON");
    report["adapter"]["driver"] = "another".into();
    report["rows"][0]["layout"] = "channels-first".into();
    std::fs::write(&old, report.to_string()).expect("a writable folder");
    let out = quick(&["--compare", path_text(&old)]);
    for part in [
        "note: the driver was another, and is",
        "only in the old run: 4x6 channels-first training f32",
        "only in the new run: 4x6 channels-last training f32",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }

    std::fs::write(&old, "{").expect("a writable folder");
    let (out, err) = exits(&command(&["bench", "--compare", path_text(&old)]), 2);
    assert!(
        out.is_empty() && err.contains("old.json: not the JSON"),
        "{err}"
    );
}

#[test]
fn bench_explains_a_plan() {
    let explain = |arguments: &[&str]| {
        let usual = ["bench", "--quick", "--explain", "64x48"];
        exits(&command(&[&usual[..], arguments].concat()), 0).0
    };
    let out = explain(&["--operation", "inference"]);
    is_narrow(&out);
    // x and four vectors in, y out
    for part in [
        "64x48 channels-last, inference, f32",
        "1 dispatch,",
        "12.8 KiB",
        "12 KiB",
        "100%",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(
        !out.contains("training,") && !out.contains("@compute"),
        "{out}"
    );

    let out = explain(&["--layout", "channels-first", "--wgsl"]);
    assert!(
        out.contains("inference, f32") && out.contains("training, f32"),
        "{out}"
    );
    assert!(
        out.contains("@compute @workgroup_size") && out.contains("fn main("),
        "{out}"
    );
}

#[test]
fn bench_is_what_happens_without_a_command() {
    let (out, _) = exits(
        &command(&["--quick", "--shape", "12x8", "--operation", "inference"]),
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
    for too_large in [
        &["--shape", "100000x100000"][..],
        &["--batch", "4000000000", "--quick"],
    ] {
        let (_, err) = exits(&command(&[&["bench"], too_large].concat()), 2);
        assert!(err.contains("a buffer of this adapter holds"), "{err}");
    }
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
