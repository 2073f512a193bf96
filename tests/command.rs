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
