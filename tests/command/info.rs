//! `info`: what there is to run on, without running anything.

use super::{command, exits, is_narrow, path_text, read_json};

#[test]
fn info_lists_adapters_limits_and_paths() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let json = folder.path().join("adapters.json");
    let (out, err) = exits(&command(&["info", "--json", path_text(&json)]), 0);
    assert!(err.is_empty(), "{err}");
    for part in [
        "a storage binding",
        "32x64x112x112",
        "split: the statistics",
        "bench and check run on",
    ] {
        assert!(out.contains(part), "{part} in {out}");
    }
    is_narrow(&out);

    let report = read_json(&json);
    let adapters = report["adapters"].as_array().expect("adapters");
    let chosen = adapters.iter().filter(|adapter| adapter["chosen"] == true);
    assert_eq!(chosen.count(), 1, "{report}");
    for adapter in adapters {
        for key in ["name", "backend", "driver", "kind", "geometry"] {
            assert!(adapter[key].is_string(), "{key} of {adapter}");
        }
        assert!(
            adapter["limits"]["max_buffer_size"]
                .as_u64()
                .is_some_and(|size| size > 0)
        );
        if !adapter["shortcomings"]
            .as_array()
            .expect("a list")
            .is_empty()
        {
            continue;
        }
        let paths = adapter["paths"].as_array().expect("paths");
        for operation in ["training", "inference", "backward"] {
            assert!(paths.iter().any(|path| path["operation"] == operation));
        }
        for path in paths {
            assert!(
                !path["why"].as_array().expect("reasons").is_empty(),
                "{path}"
            );
            let dispatches = path["dispatches"].as_array().expect("dispatches");
            let windows = path["windows"].as_u64().expect("a count");
            assert!(windows >= 1 && dispatches.len() as u64 >= windows, "{path}");
            let stages = dispatches
                .iter()
                .map(|dispatch| dispatch["stage"].as_str().expect("a stage"));
            let backward = path["operation"] == "backward";
            let expected = match (path["path"].as_str().expect("a word"), backward) {
                ("resident", false) => &["forward/resident"][..],
                ("fused", false) => &["forward/fused"],
                ("whole", false) => &["forward/coefficients", "forward/normalize"],
                ("given", false) => &["forward/normalize"],
                (_, false) => &[
                    "forward/statistics",
                    "forward/finalize",
                    "forward/normalize",
                ],
                ("resident", true) => &["backward/resident"],
                ("fused", true) => &["backward/fused"],
                ("whole", true) => &["backward/coefficients", "backward/input"],
                (_, true) => &["backward/sums", "backward/finalize", "backward/input"],
            };
            let mut stages: Vec<_> = stages.collect();
            stages.dedup();
            assert!(
                stages.chunks(expected.len()).all(|part| part == expected),
                "{stages:?}"
            );
        }
    }
}

#[test]
fn info_plans_a_shape_or_says_why_it_cannot() {
    let (out, _) = exits(
        &command(&["info", "--shape", "3x5x7x34", "--layout", "channels-last"]),
        0,
    );
    assert!(!out.contains("112x112"), "{out}");
    let rows = out.lines().filter(|line| line.starts_with("3x5x7x34"));
    for row in rows {
        assert!(row.contains(" last ") && row.contains(" columns "), "{row}");
    }
    let (out, _) = exits(&command(&["info", "--shape", "1x5"]), 0);
    assert!(
        out.contains("It cannot run: one value per channel"),
        "{out}"
    );
    let (out, _) = exits(&command(&["info", "--shape", "0x5"]), 0);
    assert!(out.contains("the tensor is empty"), "{out}");
    exits(&command(&["info", "--shape", "5"]), 2);
    exits(&command(&["info", "--layout", "channels-last"]), 2);
}
