//! `tune`: what it finds, where it saves it, and who uses that.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::{NO_CONFIGURATION, command, command_with, exits, is_narrow, path_text, read_json};

const SHAPE: [&str; 2] = ["--shape", "2x16x8x8"];

fn tune(to: &Path, more: &[&str]) -> (String, String) {
    let output = ["--output", path_text(to)];
    let arguments = [
        &["tune", "--quick", "--seconds", "0.05"],
        &SHAPE[..],
        &output,
        more,
    ];
    exits(&command(&arguments.concat()), 0)
}

/// A file of tunings of three passes, in a folder.
fn tuned(folder: &Path) -> PathBuf {
    let path = folder.join("tunings.json");
    tune(&path, &[]);
    path
}

/// The file with a change to what is in it.
fn changed(path: &Path, change: impl FnOnce(&mut Value)) {
    let mut json = read_json(path);
    change(&mut json);
    std::fs::write(path, json.to_string()).expect("writable");
}

fn names(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder");
    let name = |entry: std::io::Result<std::fs::DirEntry>| entry.expect("an entry").file_name();
    let mut names: Vec<_> = entries
        .map(|entry| name(entry).to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn what_tune_saves_is_where_info_and_bench_look() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let home = ["XDG_CONFIG_HOME", "APPDATA"].map(|name| (name, path_text(folder.path())));
    let numbers = tempfile::tempdir().expect("a temporary folder");
    let json = numbers.path().join("found.json");
    let run = |arguments: &[&str]| {
        let arguments = [arguments, &["--json", path_text(&json)]].concat();
        let (out, _) = exits(&command_with(&home, &arguments), 0);
        is_narrow(&out);
        (out, read_json(&json))
    };
    let info = || {
        let (out, report) = run(&["info", "--shape", "2x3"]);
        let adapters = report["adapters"].as_array().expect("adapters");
        let mut chosen = adapters.iter().filter(|adapter| adapter["chosen"] == true);
        (out, chosen.next().expect("one")["tuning"].clone())
    };
    let (out, before) = info();
    assert!(out.contains("No tunings are saved"), "{out}");
    let file = PathBuf::from(before["file"].as_str().expect("a path"));
    assert!(
        file.starts_with(folder.path()) && !file.exists(),
        "{before}"
    );
    assert_eq!(before["passes"], Value::Null);

    let bench = [&["bench", "--quick", "--operation", "training"], &SHAPE[..]].concat();
    let (out, report) = run(&bench);
    assert!(out.contains("planned by the default tuning"), "{out}");
    assert_eq!(report["tuning"], Value::Null);

    let (out, report) = run(&[&["tune", "--quick"], &SHAPE[..]].concat());
    for part in ["2x16x8x8", "of 3 passes are faster", "saved in"] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert_eq!(report["file"], path_text(&file));
    let rows = report["rows"].as_array().expect("rows");
    let operations: Vec<_> = rows.iter().map(|row| row["operation"].clone()).collect();
    assert_eq!(operations, ["inference", "training", "backward"]);
    for row in rows {
        assert!(
            row["gain"].as_f64().is_some_and(|gain| gain >= 1.0),
            "{row}"
        );
        assert!(
            row["tried"].as_u64().is_some_and(|tried| tried > 0),
            "{row}"
        );
        assert_eq!((&row["known"], &row["wrong"]), (&false.into(), &json!([])));
        let fractions = ["default_copy_fraction", "copy_fraction"].map(|key| row[key].as_f64());
        assert!(
            fractions
                .iter()
                .all(|fraction| fraction.is_some_and(|value| value > 0.0))
        );
        assert_eq!(row["changed"] == json!({}), row["gain"] == 1.0, "{row}");
    }
    let folder_of_files = file.parent().expect("a folder");
    let name = file.file_name().expect("a name").to_string_lossy();
    assert_eq!(
        names(folder_of_files),
        [&*name],
        "no temporary file is left"
    );

    let (out, after) = info();
    assert!(
        out.contains("`tune` has saved tunings of 3 passes"),
        "{out}"
    );
    assert_eq!(after["passes"], 3);
    let (out, report) = run(&bench);
    assert!(out.contains("planned by the tunings of 3 passes"), "{out}");
    assert_eq!(
        report["tuning"],
        json!({ "file": path_text(&file), "passes": 3 })
    );
    let (_, report) = run(&[&bench[..], &["--tuning", "none"]].concat());
    assert_eq!(report["tuning"], Value::Null);
}

#[test]
fn plans_are_made_by_the_file() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = tuned(folder.path());
    changed(&path, |json| {
        for pass in json["passes"].as_array_mut().expect("passes") {
            pass["tuning"]["workgroup_size"] = 2.into();
            pass["tuning"]["team"] = "workgroup".into();
        }
    });
    let explain = |shape: &str, more: &[&str]| -> Vec<String> {
        let line = [
            "bench",
            "--quick",
            "--operation",
            "training",
            "--explain",
            shape,
        ];
        let (out, _) = exits(&command(&[&line[..], more].concat()), 0);
        let is_dispatch = |line: &&str| line.contains("forward/");
        let lanes = |line: &str| line.split_whitespace().nth(5).expect("lanes").to_owned();
        out.lines().filter(is_dispatch).map(lanes).collect()
    };
    let by = ["--tuning", path_text(&path)];
    let all_of_two =
        |lanes: Vec<String>| !lanes.is_empty() && lanes.iter().all(|lanes| lanes == "2");
    assert!(all_of_two(explain("2x16x8x8", &by)));
    assert!(all_of_two(explain("4x16x8x8", &by)), "a shape that is near");
    assert!(!all_of_two(explain("64x64x8x8", &by)), "one that is not");
    assert!(!all_of_two(explain("2x16x8x8", &[])));

    let json = folder.path().join("found.json");
    let check = ["check", by[0], by[1], "--json", path_text(&json)];
    let (out, _) = exits(&command(&check), 0);
    is_narrow(&out);
    for part in [
        "planned by the tunings of 3 passes",
        "Tuned passes",
        "2x16x64 ",
        "331 of 331 steps",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    assert_eq!(read_json(&json)["tuning"]["passes"], 3);
}

#[test]
fn a_second_search_keeps_what_the_first_one_found() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tunings.json");
    tune(&path, &["--operation", "training"]);
    let training = read_json(&path)["passes"][0].clone();
    let (out, _) = tune(&path, &[]);
    assert!(out.contains("1 were found before"), "{out}");
    let passes = read_json(&path)["passes"].clone();
    assert_eq!(passes.as_array().map(Vec::len), Some(3));
    assert_eq!(passes[0], training);

    // A mark that only a search of its own would remove.
    let mark = |path: &Path| changed(path, |json| json["passes"][0]["gain"] = 77.0.into());
    let marked = |path: &Path| read_json(path)["passes"][0]["gain"] == 77.0;
    mark(&path);
    tune(&path, &[]);
    assert!(marked(&path));
    tune(&path, &["--again"]);
    assert!(!marked(&path));
    // Of a search that was interrupted only what it had found so far.
    mark(&path);
    changed(&path, |json| {
        json["passes"][0]["copy_fraction"] = Value::Null;
    });
    tune(&path, &[]);
    assert!(!marked(&path));
    assert!(read_json(&path)["passes"][0]["copy_fraction"].is_f64());
    assert_eq!(names(folder.path()), ["tunings.json"]);
}

#[test]
fn files_that_are_of_no_use_say_why() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = tuned(folder.path());
    let good = std::fs::read_to_string(&path).expect("readable");
    let fails = |text: &str, said: &str| {
        std::fs::write(&path, text).expect("writable");
        let file = path_text(&path);
        for arguments in [
            &["bench", "--quick", "--shape", "2x3", "--tuning", file][..],
            &["check", "--tuning", file],
            &["tune", "--quick", "--shape", "2x16x8x8", "--output", file],
        ] {
            let (_, err) = exits(&command(arguments), 2);
            assert!(err.contains(said) && err.contains(file), "{said} in {err}");
            assert_eq!(err.lines().count(), 1, "{err}");
        }
        assert_eq!(std::fs::read_to_string(&path).expect("readable"), text);
    };
    fails("", "not the tunings of `wgpu-batchnorm tune`");
    fails("{\"key\": 1}", "not the tunings of `wgpu-batchnorm tune`");
    let with = |change: fn(&mut Value)| {
        let mut json: Value = serde_json::from_str(&good).expect("JSON");
        change(&mut json);
        json.to_string()
    };
    fails(
        &with(|json| json["key"]["adapter"] = "another".into()),
        "the tunings were found on another (",
    );
    fails(
        &with(|json| json["key"]["version"] = "0.0.1".into()),
        "wgpu-batchnorm 0.0.1, not on",
    );
    fails(
        &with(|json| json["passes"][1]["tuning"]["workgroup_size"] = (1 << 20).into()),
        "workgroup_size is 1048576",
    );
    fails(
        &with(|json| json["passes"][1]["tuning"]["lanes"] = 8.into()),
        "unknown field `lanes`",
    );
}

#[test]
fn no_test_reads_the_tunings_of_whoever_runs_it() {
    assert!(!Path::new(NO_CONFIGURATION).exists());
}

#[cfg(unix)]
#[test]
fn a_search_that_is_stopped_keeps_what_it_found_and_goes_on_from_there() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("tunings.json");
    // Nine rows.
    let line = [
        "tune",
        "--shape",
        "8x16x16x16",
        "--element",
        "all",
        "--output",
        path_text(&path),
    ];
    let mut child = Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
        .args([&line[..], &["--seconds", "2"]].concat())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the command starts");
    let begun = Instant::now();
    while !path.exists() {
        assert!(
            begun.elapsed() < Duration::from_secs(120),
            "nothing is saved"
        );
        assert!(
            child.try_wait().expect("a child").is_none(),
            "it ended by itself"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
    let sent = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(sent.expect("kill is there").success());
    let status = child.wait().expect("it ends");
    assert_eq!(status.signal(), Some(2), "{status}");
    assert_eq!(
        names(folder.path()),
        ["tunings.json"],
        "no temporary file is left"
    );
    let kept = read_json(&path)["passes"]
        .as_array()
        .expect("passes")
        .clone();
    assert!((1..9).contains(&kept.len()), "{kept:?}");

    exits(&command(&[&line[..], &["--seconds", "0.01"]].concat()), 0);
    let passes = read_json(&path)["passes"]
        .as_array()
        .expect("passes")
        .clone();
    assert_eq!(passes.len(), 9);
    for pass in &passes {
        assert!(pass["copy_fraction"].is_f64(), "{pass}");
    }
    let finished = kept.iter().filter(|pass| pass["copy_fraction"].is_f64());
    for pass in finished {
        assert!(passes.contains(pass), "{pass} was searched again");
    }
}
