//! The command as people and scripts meet it.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

fn command(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_batchnorm-lab"))
        .args(arguments)
        .output()
        .expect("the command starts")
}

#[track_caller]
fn exits(output: &Output, code: i32) -> String {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    let (out, error) = (text(&output.stdout), text(&output.stderr));
    assert_eq!(output.status.code(), Some(code), "{out}\n{error}");
    format!("{out}{error}")
}

fn path_text(path: &Path) -> &str {
    path.to_str().expect("a temporary path is UTF-8")
}

fn report(folder: &Path) -> Value {
    let bytes = std::fs::read(folder.join("report.json")).expect("written");
    serde_json::from_slice(&bytes).expect("JSON")
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let mut names: Vec<String> = entries
        .map(|entry| {
            entry
                .expect("an entry")
                .file_name()
                .to_string_lossy()
                .into_owned()
        })
        .collect();
    names.sort();
    names
}

#[test]
fn a_quick_run_writes_a_page_and_sane_numbers_and_a_second_one_takes_them_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let out = folder.path().join("report");
    let run = ["--quick", "--out", path_text(&out)];
    exits(&command(&run), 0);
    assert_eq!(names(&out), ["index.html", "report.json", "runs"]);

    let first = report(&out);
    for key in [
        "adapter",
        "version",
        "wgpu",
        "command",
        "date",
        "batch_norm",
    ] {
        assert!(!first[key].is_null(), "no {key}");
    }
    let experiments = first["experiments"].as_array().expect("a list");
    let names_of = |list: &Value| -> Vec<String> {
        let list = list.as_array().expect("a list").iter();
        list.map(|one| one["name"].as_str().expect("a name").to_owned())
            .collect()
    };
    assert_eq!(
        names_of(&first["experiments"]),
        [
            "speed",
            "gradients",
            "initialization",
            "regularization",
            "scales"
        ]
    );
    assert_eq!(names_of(&first["exhibits"]), ["inside", "inference"]);
    assert_eq!(first["unfinished"], serde_json::json!([]));
    for experiment in experiments {
        let name = &experiment["name"];
        assert!(
            experiment["claim"]
                .as_str()
                .is_some_and(|claim| claim.ends_with('.')),
            "{name}"
        );
        assert_eq!(experiment["seeds"], 3, "{name}");
        let effect = experiment["effect"].as_f64().expect("a number");
        let interval = &experiment["interval"];
        let [low, high] = [0, 1].map(|end| interval[end].as_f64().expect("a number"));
        assert!(
            low <= effect && effect <= high,
            "{name}: {low} {effect} {high}"
        );
        let verdict = experiment["verdict"].as_str().expect("a word");
        assert!(
            ["supported", "not supported", "contradicted"].contains(&verdict),
            "{name}: {verdict}"
        );
        let series = experiment["series"].as_array().expect("a list");
        assert!(!series.is_empty(), "{name}");
        for curve in series
            .iter()
            .flat_map(|figure| figure["series"].as_array().expect("a list"))
        {
            let x = curve["x"].as_array().expect("a list");
            let values = curve["values"].as_array().expect("a list");
            assert!(
                !x.is_empty() && x.len() == values.len(),
                "{name}: {}",
                curve["name"]
            );
            assert!(
                values
                    .iter()
                    .all(|seeds| seeds.as_array().is_some_and(|seeds| seeds.len() == 3)),
                "{name}"
            );
        }
    }

    let page = std::fs::read_to_string(out.join("index.html")).expect("written");
    for needed in [
        "<svg",
        "Training against inference",
        "Santurkar",
        "prefers-color-scheme: dark",
        "no unbiased variance",
    ] {
        assert!(page.contains(needed), "the page lacks {needed}");
    }
    for outside in ["<script", "src=", "@import", "url(", "NaN"] {
        assert!(!page.contains(outside), "the page has {outside}");
    }

    let kept = names(&out.join("runs"));
    exits(&command(&run), 0);
    assert_eq!(names(&out.join("runs")), kept, "nothing is trained again");
    let mut second = report(&out);
    second["date"] = first["date"].clone();
    assert_eq!(second, first);
    // Other seeds are other runs.
    exits(
        &command(&[
            "--quick",
            "--only",
            "inside",
            "--seed",
            "99",
            "--out",
            path_text(&out),
        ]),
        0,
    );
    assert!(names(&out.join("runs")).len() > kept.len());
    assert_eq!(report(&out)["experiments"], serde_json::json!([]));
}

#[test]
fn batch_norm_by_the_reference_gives_the_same_report_but_for_rounding() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let run = |more: &[&str], name: &str| {
        let out = folder.path().join(name);
        let arguments = ["--quick", "--only", "scales", "--out", path_text(&out)];
        exits(&command(&[&arguments, more].concat()), 0);
        report(&out)
    };
    let (device, host) = (run(&[], "device"), run(&["--reference"], "host"));
    assert_ne!(device["batch_norm"], host["batch_norm"]);
    let effect = |report: &Value| {
        report["experiments"][0]["effect"]
            .as_f64()
            .expect("a number")
    };
    // A few samples of 34 may change sides after 40 steps.
    assert!((effect(&device) - effect(&host)).abs() < 0.1);
    assert!(effect(&host) > 0.2);
}

#[test]
fn what_cannot_be_run_says_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("file");
    std::fs::write(&file, "").expect("writable");
    let text = exits(&command(&["--quick", "--out", path_text(&file)]), 2);
    assert!(text.contains("cannot write"), "{text}");
    let text = exits(&command(&["--only", "everything"]), 2);
    assert!(text.contains("possible values: speed"), "{text}");
    let out = folder.path().join("out");
    let text = exits(
        &command(&["--adapter", "no such adapter", "--out", path_text(&out)]),
        3,
    );
    assert!(
        text.contains("no GPU adapter has `no such adapter`"),
        "{text}"
    );
}

#[cfg(unix)]
#[test]
fn a_run_that_is_stopped_keeps_what_is_finished() {
    use std::os::unix::process::ExitStatusExt;
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().expect("a temporary folder");
    let runs = folder.path().join("runs");
    let mut child = Command::new(env!("CARGO_BIN_EXE_batchnorm-lab"))
        .args(["--quick", "--out", path_text(folder.path())])
        .stderr(std::process::Stdio::null())
        .spawn()
        .expect("the command starts");
    let json = |runs: &Path| -> Vec<String> {
        let entries = std::fs::read_dir(runs).into_iter().flatten().flatten();
        let names = entries.map(|entry| entry.file_name().to_string_lossy().into_owned());
        let mut names: Vec<String> = names.filter(|name| !name.starts_with('.')).collect();
        names.sort();
        names
    };
    let begun = Instant::now();
    while json(&runs).is_empty() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "nothing was kept"
        );
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended by itself"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let interrupt = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupt.expect("kill").success());
    let status = child.wait().expect("a child");
    assert_eq!(status.signal(), Some(2), "{status}");
    let kept = json(&runs);
    assert_eq!(names(&runs), kept, "no half-written file");
    assert!(
        !folder.path().join("index.html").exists() || folder.path().join("report.json").exists()
    );
    // It goes on from there.
    let before: Vec<_> = kept
        .iter()
        .map(|name| std::fs::read(runs.join(name)).expect("kept"))
        .collect();
    exits(
        &command(&[
            "--quick",
            "--only",
            "speed",
            "--out",
            path_text(folder.path()),
        ]),
        0,
    );
    for (name, before) in kept.iter().zip(before) {
        assert!(
            std::fs::read(runs.join(name)).expect("kept") == before,
            "{name} was made again"
        );
    }
    assert_eq!(report(folder.path())["experiments"][0]["name"], "speed");
}
