//! `bench`: what it prints, and the files that it writes.

use super::{command, exits, is_narrow, path_text, read_json};

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
        out.contains("2x3x5x7") && out.contains("3 of 3 results"),
        "{out}"
    );
    is_narrow(&out);

    let report = read_json(&json);
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
    let all = ["inference", "training", "backward"];
    assert_eq!(operations, all.map(Some));
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
        assert_eq!(row["activation"], "none");
        assert_eq!(row["residual"], false);
        let allowed = if row["operation"] == "backward" {
            1e-5
        } else {
            2e-6
        };
        let error = row["max_error"].as_f64().expect("an error");
        assert!(error <= allowed, "{row}");
    }
    assert_eq!(
        std::fs::read_dir(folder.path()).expect("a folder").count(),
        1,
        "temporary files are left"
    );
}

#[test]
fn bench_measures_what_is_fused_in_every_storage() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [json, table] = ["rows.json", "rows.csv"].map(|name| folder.path().join(name));
    let line = "bench --quick --shape 3x5x3x3 --element all --activation relu --residual";
    let arguments: Vec<&str> = line.split(' ').collect();
    let files = ["--json", path_text(&json), "--csv", path_text(&table)];
    let (out, _) = exits(&command(&[&arguments[..], &files].concat()), 0);
    is_narrow(&out);
    for part in [
        "9 of 9 results",
        "fused    residual, relu",
        "back bf16",
        "the rounding of halves",
        "1e-5 of the largest",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }

    let report = read_json(&json);
    let rows = report["rows"].as_array().expect("rows");
    let mut reader = csv::Reader::from_path(table).expect("written");
    let records: Vec<_> = reader
        .records()
        .map(|record| record.expect("a row"))
        .collect();
    assert_eq!((rows.len(), records.len()), (9, 9));
    let values = 3.0 * 5.0 * 3.0 * 3.0;
    for (row, record) in rows.iter().zip(&records) {
        assert_eq!(
            (&row["activation"], &row["residual"]),
            (&"relu".into(), &true.into())
        );
        // the reads of x (and dy) and of the residual, what is written, and what a copy moves
        let tensors = match row["operation"].as_str() {
            Some("inference") => 3.0,
            Some("training") => 4.0,
            _ => 8.0,
        };
        let is_half = row["element"] != "f32";
        let bytes = values * if is_half { 2.0 } else { 4.0 };
        let moved = |speed: &str, time: &str| {
            let [speed, time] = [speed, time].map(|name| row[name].as_f64().expect("a number"));
            speed * time * 1e6 / bytes
        };
        let least = moved("gigabytes_per_second", "gpu_ms");
        assert!((least / tensors - 1.0).abs() < 1e-9, "{row}");
        // an odd number of halves has a last word of its own
        let copied = moved("copy_gigabytes_per_second", "copy_ms");
        assert!((copied / 2.0 - 1.0).abs() < 0.01, "{row}");
        for time in ["cpu_ms", "cpu_ms_q1", "textbook_ms", "speed_up"] {
            assert_eq!(row[time].is_null(), is_half, "{time} of {row}");
        }
        assert_eq!(
            record
                .iter()
                .filter(|field| field.contains("bf16") || field.contains("f16"))
                .count(),
            usize::from(is_half)
        );
        // A half has an error of its own, and no more.
        let error = row["max_error"].as_f64().expect("an error");
        let rounding = match row["element"].as_str() {
            Some("f32") => 0.0,
            Some("f16") => 2.0f64.powi(-11),
            _ => 2.0f64.powi(-8),
        };
        assert!(error <= rounding + 1e-5, "{row}");
        assert_eq!(error > 2e-5, is_half, "{row}");
    }
}

#[test]
fn bench_sweeps_the_gradients_of_halves_by_size() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let [page, json] = ["page.html", "rows.json"].map(|name| folder.path().join(name));
    let line = "bench --quick --shape 4x6 --operation backward --element bf16";
    let arguments: Vec<&str> = line.split(' ').collect();
    let files = ["--json", path_text(&json), "--html", path_text(&page)];
    let (out, _) = exits(&command(&[&arguments[..], &files].concat()), 0);
    assert!(
        out.contains("98 KiB") && out.contains("1 of 1 results"),
        "{out}"
    );
    let page = std::fs::read_to_string(page).expect("written");
    assert!(page.contains("Backward") && page.contains("GPU, backward bf16"));
    assert!(!page.contains("CPU, backward"));
    let report = read_json(&json);
    let points = report["size_sweep"]["points"].as_array().expect("points");
    assert!(!points.is_empty());
    for point in points {
        assert_eq!(
            (&point["operation"], &point["element"]),
            (&"backward".into(), &"bf16".into())
        );
        assert!(
            point["cpu_ms"].is_null() && point["wrong"].is_null(),
            "{point}"
        );
    }
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
        out.contains("Milliseconds by tensor size") && out.contains("196 KiB"),
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

    let report = read_json(&json);
    let points = report["size_sweep"]["points"].as_array().expect("points");
    assert_eq!(points[0]["bytes"], 196 << 10);
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
    assert!(out.contains("rows in both runs: 1; GPU new/old"), "{out}");
    // which clock serves may differ from run to run where other programs run beside
    let mut notes = out.lines().filter(|line| line.starts_with("note:"));
    assert!(notes.all(|note| note.contains("clock")), "{out}");
    assert!(!out.contains("only in"), "{out}");

    let mut report = read_json(&old);
    report["adapter"]["driver"] = "another".into();
    report["rows"][0]["layout"] = "channels-first".into();
    report["rows"][0]["residual"] = true.into();
    std::fs::write(&old, report.to_string()).expect("a writable folder");
    let out = quick(&["--compare", path_text(&old)]);
    for part in [
        "note: the driver was another, and is",
        "only in the old run: 4x6 channels-first training f32 (residual)",
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
        "64x48 channels-last, inference f32",
        "1 dispatch,",
        "12.8 KiB",
        "12 KiB",
        "100%",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert!(
        !out.contains("training") && !out.contains("@compute"),
        "{out}"
    );

    let out = explain(&["--layout", "channels-first", "--wgsl"]);
    assert!(
        out.contains("inference f32") && out.contains("training f32"),
        "{out}"
    );
    assert!(
        out.contains("channels-first, backward f32") && out.contains("backward/"),
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
    let (_, err) = exits(
        &command(&["bench", "--shape", "1x5", "--operation", "backward"]),
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
