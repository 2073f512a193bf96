//! The crate as a package: what it depends on, and whether its descriptions name what there is. Needs no adapter.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;

const MANIFEST: &str = include_str!("../Cargo.toml");
const README: &str = include_str!("../README.md");
const CRATE_DOCS: &str = include_str!("../src/lib.rs");
const ARCHITECTURE: &str = include_str!("../docs/architecture.md");

/// All that the library depends on directly.
const LIBRARY_DEPENDENCIES: [&str; 14] = [
    // values as bytes
    "bytemuck",
    // the user's configuration folder, for tunings
    "etcetera",
    // the widest vectors of the processor, for its path
    "fearless_simd",
    // the answer of a mapped buffer, as a future
    "futures-intrusive",
    // f16 and bf16 vectors in files
    "half",
    // the error function, for GELU on the host
    "libm",
    // to wait on a native thread
    "pollster",
    // the processor's path on all cores
    "rayon",
    // layers in files, the header of such files, and tunings
    "safetensors",
    "serde",
    "serde_json",
    // files that are replaced whole
    "tempfile",
    "thiserror",
    "wgpu",
];

fn cargo(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO"))
        .args(arguments)
        .args(["--locked", "--offline"])
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .output()
        .expect("cargo starts");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    String::from_utf8(output.stdout).expect("cargo prints UTF-8")
}

fn package() -> Value {
    let metadata = cargo(&["metadata", "--no-deps", "--format-version", "1"]);
    let metadata: Value = serde_json::from_str(&metadata).expect("cargo prints JSON");
    let packages = metadata["packages"].as_array().expect("a list");
    // The other one is the lab.
    let package = packages.iter().find(|one| one["name"] == "wgpu-batchnorm");
    package.expect("this crate").clone()
}

/// The crates that one who depends on the library alone compiles; those it names itself, or all of them.
fn library_tree(direct: bool) -> BTreeSet<String> {
    let library = "--no-default-features --features vulkan --edges normal --prefix none";
    let mut arguments = vec!["tree"];
    arguments.extend(library.split(' '));
    if direct {
        arguments.extend(["--depth", "1"]);
    }
    let tree = cargo(&arguments);
    let names = tree.lines().filter_map(|line| line.split(' ').next());
    // the first is the crate itself
    names.skip(1).map(str::to_owned).collect()
}

fn features(package: &Value) -> BTreeSet<&str> {
    let features = package["features"].as_object().expect("a map");
    features.keys().map(String::as_str).collect()
}

fn strings(list: &Value) -> BTreeSet<&str> {
    let list = list.as_array().expect("a list").iter();
    list.map(|item| item.as_str().expect("a string")).collect()
}

#[test]
fn the_library_depends_on_little_and_on_nothing_that_is_the_commands() {
    let direct = library_tree(true);
    assert_eq!(
        direct,
        LIBRARY_DEPENDENCIES.map(str::to_owned).into(),
        "the library's dependencies are stated here: is each of them worth its compilation?"
    );
    let all = library_tree(false);
    let package = package();
    let commands = strings(&package["features"]["cli"]);
    assert!(commands.len() > 4);
    for dependency in commands {
        let name = dependency.strip_prefix("dep:").expect("a dependency");
        assert!(
            !all.contains(name),
            "{name} is the command's, yet the library compiles it"
        );
    }
}

#[test]
fn every_feature_is_described_where_it_is_looked_for() {
    let package = package();
    let features = features(&package);
    for &feature in &features {
        let lines: Vec<_> = MANIFEST.lines().collect();
        let line = lines
            .iter()
            .position(|line| line.starts_with(&format!("{feature} = [")))
            .expect("a feature has a line of its own");
        assert!(
            feature == "default" || lines[line - 1].starts_with("# "),
            "Cargo.toml does not say what `{feature}` is for"
        );
        let row =
            |line: &&str| line.starts_with("//! | `") && line.contains(&format!("`{feature}`"));
        assert!(
            feature == "default" || CRATE_DOCS.lines().any(|line| row(&line)),
            "the crate's documentation does not say what `{feature}` is for"
        );
    }
    let documented = strings(&package["metadata"]["docs"]["rs"]["features"]);
    let library = features
        .into_iter()
        .filter(|name| !["default", "cli"].contains(name));
    assert_eq!(documented, library.collect(), "what docs.rs builds");
}

#[test]
fn the_readme_names_the_versions_of_the_manifest() {
    let package = package();
    let rust = package["rust_version"].as_str().expect("a version");
    let mut named = README
        .match_indices(" or later")
        .map(|(at, _)| &README[..at]);
    assert!(named.all(|before| before.ends_with(rust)), "Rust {rust}");
    assert!(README.contains(&format!("{rust} or later")), "Rust {rust}");
    let version = package["version"].as_str().expect("a version");
    let (compatible, _) = version.rsplit_once('.').expect("three numbers");
    let requirement = format!("wgpu-batchnorm = {{ version = \"{compatible}\"");
    assert!(README.contains(&requirement), "{requirement}");
}

#[test]
fn every_example_is_listed() {
    let package = package();
    let targets = package["targets"].as_array().expect("a list");
    let examples: Vec<_> = targets
        .iter()
        .filter(|target| strings(&target["kind"]).contains("example"))
        .map(|target| target["name"].as_str().expect("a name"))
        .collect();
    assert!(examples.len() > 3);
    for example in examples {
        let file = format!("examples/{example}.rs");
        assert!(README.contains(&file), "README.md does not list {file}");
        assert!(
            CRATE_DOCS.contains(&file),
            "src/lib.rs does not list {file}"
        );
    }
}

#[test]
fn the_architecture_page_names_files_that_exist() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let folders = ["src/", "shaders/", "tests/", "examples/", "benches/"];
    let names = ARCHITECTURE.split('`').skip(1).step_by(2);
    let files: Vec<_> = names
        .filter(|name| folders.iter().any(|folder| name.starts_with(folder)))
        .collect();
    assert!(files.len() > 10);
    for file in files {
        assert!(root.join(file).exists(), "there is no {file}");
    }
}
