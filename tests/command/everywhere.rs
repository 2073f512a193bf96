//! What all of the command's parts share: flags, exit codes, and what is left behind where it is stopped.

use super::{command, command_with, exits, path_text, read_json};

/// Variables that hide every adapter of a Linux system.
const NO_DRIVER: [(&str, &str); 3] = [
    ("VK_DRIVER_FILES", "/no/such/driver.json"),
    ("VK_ICD_FILENAMES", "/no/such/driver.json"),
    ("__EGL_VENDOR_LIBRARY_FILENAMES", "/no/such/vendor.json"),
];

/// A name and a backend that choose the adapter which is chosen without them.
fn usual() -> (String, String) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("adapters.json");
    exits(&command(&["info", "--json", path_text(&json)]), 0);
    let report = read_json(&json);
    let mut adapters = report["adapters"].as_array().expect("adapters").iter();
    let chosen = adapters
        .find(|adapter| adapter["chosen"] == true)
        .expect("a usual one");
    let text = |key| chosen[key].as_str().expect("a text").to_owned();
    (text("name"), text("backend"))
}

#[cfg(target_os = "linux")]
#[test]
fn without_an_adapter_one_message_names_the_fix() {
    let os_release = std::fs::read_to_string("/etc/os-release").unwrap_or_default();
    let debian = os_release
        .lines()
        .any(|line| matches!(line, "ID=debian" | "ID=ubuntu"));
    for arguments in [
        &["bench"][..],
        &[],
        &["check"],
        &["check", "case.safetensors"],
        &["tune"],
        &["info"],
    ] {
        let (out, err) = exits(&command_with(&NO_DRIVER, arguments), 3);
        assert!(out.is_empty(), "{out}");
        assert_eq!(err.lines().count(), 1, "{err}");
        assert!(
            err.starts_with("error: no GPU adapter was found: install a driver"),
            "{err}"
        );
        assert!(err.contains("unset VK_DRIVER_FILES"), "{err}");
        assert!(
            !debian || err.contains("`apt install mesa-vulkan-drivers`"),
            "{err}"
        );
    }
    let (_, err) = exits(
        &command_with(&NO_DRIVER, &["check", "--backend", "vulkan"]),
        3,
    );
    assert!(
        err.starts_with("error: no GPU adapter was found through vulkan: install"),
        "{err}"
    );
}

#[test]
fn a_backend_that_this_system_cannot_have_is_refused() {
    let nowhere = if cfg!(windows) { "metal" } else { "dx12" };
    let (_, err) = exits(&command(&["check", "--backend", nowhere]), 2);
    assert!(
        err.contains("[possible values: ") && err.contains("vulkan"),
        "{err}"
    );
    let (_, err) = exits(&command_with(&[("WGPU_BACKEND", nowhere)], &["check"]), 3);
    assert!(
        err.starts_with(&format!(
            "error: no GPU adapter was found through {nowhere}: this build is for"
        )),
        "{err}"
    );
    // A flag counts more than a variable.
    let (_, backend) = usual();
    exits(
        &command_with(
            &[("WGPU_BACKEND", nowhere)],
            &["info", "--shape", "2x3", "--backend", &backend],
        ),
        0,
    );
}

#[test]
fn the_adapter_is_chosen_by_a_part_of_its_name() {
    let (name, backend) = usual();
    let part = name[..name.len() - 1].to_uppercase();
    let flags = ["--adapter", &part, "--backend", &backend];
    for arguments in [
        [
            &flags[..],
            &[
                "bench",
                "--quick",
                "--shape",
                "12x8",
                "--operation",
                "inference",
            ],
        ]
        .concat(),
        [
            &flags[..],
            &["--quick", "--shape", "12x8", "--operation", "inference"],
        ]
        .concat(),
        [&["info", "--shape", "12x8"], &flags[..]].concat(),
    ] {
        let (out, _) = exits(&command(&arguments), 0);
        assert!(out.contains(&name), "{out}");
    }
    for arguments in [&["check"][..], &["bench"], &["info"]] {
        let with_flag = command(&[arguments, &["--adapter", "nobody's"]].concat());
        let with_variable = command_with(&[("WGPU_ADAPTER_NAME", "nobody's")], arguments);
        for output in [with_flag, with_variable] {
            let (out, err) = exits(&output, 3);
            assert!(out.is_empty(), "{out}");
            assert!(
                err.starts_with("error: no GPU adapter has `nobody's` in its name; there are: "),
                "{err}"
            );
            assert!(err.contains(&name) && err.lines().count() == 1, "{err}");
        }
    }
}

#[test]
fn wrong_usage_is_told_apart_from_wrong_results() {
    for arguments in [
        &["bench", "--no-such-flag"][..],
        &["bench", "--shape", "12"],
        &["bench", "--operation", "forward"],
        &["bench", "--batch", "0"],
        &["bench", "--batch", "4", "--shape", "2x3"],
        &["bench", "--quick", "--full"],
        &["bench", "--wgsl"],
        &["bench", "--tuning", "no/such/file.json"],
        &["tune", "--seconds", "0"],
        &["tune", "--output", "no/such/folder/tunings.json"],
        &["bench", "--explain", "2x3", "--shape", "2x3"],
        &["bench", "--explain", "2x3", "--json", "rows.json"],
        &["check", "--rtol", "1e-3"],
        &["--shape", "2x3", "check"],
        &["check", "--json", "no/such/folder/found.json"],
        &["info", "--json", "no/such/folder/found.json"],
        &["completions", "no-such-shell"],
        &["no-such-command"],
    ] {
        let (_, err) = exits(&command(arguments), 2);
        assert!(err.starts_with("error: "), "{err}");
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
    for part in [
        "Examples:",
        "wgpu-batchnorm check",
        "Exit codes:",
        "--adapter",
        "--backend",
        "NO_COLOR",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    for command_name in ["bench", "tune", "check", "info"] {
        let (out, _) = exits(&command(&[command_name, "--help"]), 0);
        assert!(out.contains("--adapter") && out.contains("--json"), "{out}");
    }
}

#[test]
fn every_shell_gets_a_script() {
    for shell in ["bash", "zsh", "fish", "powershell", "elvish"] {
        let (out, err) = exits(&command(&["completions", shell]), 0);
        assert!(err.is_empty(), "{err}");
        for part in ["wgpu-batchnorm", "check", "info", "adapter", "backend"] {
            assert!(out.contains(part), "{part} for {shell}");
        }
    }
}

#[cfg(unix)]
#[test]
fn a_stopped_command_leaves_no_file() {
    use std::os::unix::process::ExitStatusExt;
    use std::process::{Command, Stdio};
    use std::time::{Duration, Instant};

    for (signal, number) in [("-INT", 2), ("-TERM", 15)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let count = || std::fs::read_dir(folder.path()).expect("a folder").count();
        // Takes far longer than it is let.
        let mut child = Command::new(env!("CARGO_BIN_EXE_wgpu-batchnorm"))
            .args(["check", "--full", "--json", "found.json"])
            .current_dir(folder.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("the command starts");
        let start = Instant::now();
        while count() == 0 {
            assert!(
                start.elapsed() < Duration::from_secs(60),
                "no temporary file appears"
            );
            std::thread::sleep(Duration::from_millis(5));
        }
        let sent = Command::new("kill")
            .args([signal, &child.id().to_string()])
            .status();
        assert!(sent.expect("kill is there").success());
        let status = child.wait().expect("it ends");
        assert_eq!(status.signal(), Some(number), "{status}");
        assert_eq!(count(), 0, "a file is left");
    }
}
