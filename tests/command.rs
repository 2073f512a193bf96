//! The command as people and scripts meet it: what it prints, writes and exits with. Needs an adapter.

use std::path::Path;
use std::process::{Command, Output};

use serde_json::Value;

#[path = "command/bench.rs"]
mod bench;
#[path = "command/check.rs"]
mod check;
#[path = "command/everywhere.rs"]
mod everywhere;
#[path = "command/info.rs"]
mod info;
#[path = "command/tune.rs"]
mod tune;

/// A folder that nobody makes: whoever runs the tests may have saved tunings in theirs.
const NO_CONFIGURATION: &str = concat!(env!("CARGO_TARGET_TMPDIR"), "/no-configuration");

fn command(arguments: &[&str]) -> Output {
    command_with(&[], arguments)
}

/// The command in another environment.
fn command_with(environment: &[(&str, &str)], arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
        .args(arguments)
        .envs(["XDG_CONFIG_HOME", "APPDATA"].map(|name| (name, NO_CONFIGURATION)))
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

fn names_a_file(line: &str) -> bool {
    let extension = Path::new(line).extension();
    extension.is_some_and(|extension| extension == "json")
}

/// Whether the lines after the adapter's, whose name may be long, fit a narrow terminal: but for that of a file.
#[track_caller]
fn is_narrow(out: &str) {
    assert!(
        out.lines()
            .skip(3)
            .all(|line| line.chars().count() <= 80 || names_a_file(line)),
        "{out}"
    );
}
