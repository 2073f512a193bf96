//! What tunings are found on.

use std::fmt;

use serde::{Deserialize, Serialize};

/// What tunings are found on, and are no good beside: an adapter, its driver and the version of this crate.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TuningKey {
    /// The adapter's name.
    pub adapter: String,
    /// The graphics API that it is reached by, as wgpu names it: `vulkan`, `metal`, `dx12`, `gl`.
    pub backend: String,
    /// The driver's name.
    pub driver: String,
    /// What the driver says of itself, its version above all.
    pub driver_info: String,
    /// The version of this crate.
    pub version: String,
}

impl TuningKey {
    /// Of an adapter, for this version of the crate.
    pub fn new(info: &wgpu::AdapterInfo) -> Self {
        Self {
            adapter: info.name.clone(),
            backend: info.backend.to_string(),
            driver: info.driver.clone(),
            driver_info: info.driver_info.clone(),
            version: env!("CARGO_PKG_VERSION").into(),
        }
    }

    /// The file where `wgpu-batchnorm tune` saves what it finds for this key: [`TuningKey::file_name`] in
    /// `wgpu-batchnorm/tuning` of the user's configuration folder, which is `$XDG_CONFIG_HOME`, where that is not set
    /// `~/.config`, and on Windows `%APPDATA%`. `None` where the user has no home. Whether there is such a file is not
    /// looked at.
    #[cfg(not(target_family = "wasm"))]
    pub fn path(&self) -> Option<std::path::PathBuf> {
        use etcetera::BaseStrategy;
        let folder = etcetera::choose_base_strategy().ok()?.config_dir();
        let folder = folder.join("wgpu-batchnorm").join("tuning");
        Some(folder.join(self.file_name()))
    }

    /// A name made from all of the key: of letters, digits, dots, dashes and underscores, and of few enough of them for every
    /// file system. Keys that differ may have one name: whoever reads the file compares the key in it.
    pub fn file_name(&self) -> String {
        /// Characters of each part.
        const MOST: usize = 40;
        let driver = format!("{} {}", self.driver, self.driver_info);
        let parts = [&self.adapter, &self.backend, &driver, &self.version].map(|part| {
            let mut name = String::new();
            for c in part.chars() {
                if c.is_ascii_alphanumeric() || c == '.' {
                    name.push(c.to_ascii_lowercase());
                } else if !name.is_empty() && !name.ends_with('-') {
                    name.push('-');
                }
            }
            name.truncate(MOST);
            name.trim_matches(['-', '.']).to_owned()
        });
        let named = parts.iter().filter(|part| !part.is_empty());
        let names: Vec<&str> = named.map(String::as_str).collect();
        format!("{}.json", names.join("_"))
    }
}

/// On one line, as in `llvmpipe (vulkan, driver llvmpipe Mesa 25.0.7), wgpu-batchnorm 0.1.0`.
impl fmt::Display for TuningKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            adapter,
            backend,
            driver,
            driver_info,
            version,
        } = self;
        let driver = format!("{driver} {driver_info}");
        let driver = driver.trim();
        write!(
            f,
            "{adapter} ({backend}, driver {driver}), wgpu-batchnorm {version}"
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(adapter: &str, driver: &str, driver_info: &str) -> TuningKey {
        TuningKey {
            adapter: adapter.into(),
            backend: "vulkan".into(),
            driver: driver.into(),
            driver_info: driver_info.into(),
            version: "1.2.3-rc.4".into(),
        }
    }

    #[test]
    fn a_file_is_named_by_all_of_the_key() {
        let name = key(
            "llvmpipe (LLVM 15.0.6, 256 bits)",
            "llvmpipe",
            "Mesa 25.0.7",
        );
        assert_eq!(
            name.file_name(),
            "llvmpipe-llvm-15.0.6-256-bits_vulkan_llvmpipe-mesa-25.0.7_1.2.3-rc.4.json"
        );
        assert_eq!(key("X", "", "").file_name(), "x_vulkan_1.2.3-rc.4.json");
    }

    #[test]
    fn no_name_leaves_the_folder_or_is_too_long() {
        for text in [
            "../..",
            "/etc/passwd",
            "a\\b:c*?\0\n",
            "..",
            "\u{e9}\u{4f60}",
            ".hidden",
        ] {
            let name = key(text, text, text).file_name();
            let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
            assert!(name.chars().all(plain), "{name}");
            assert!(!name.starts_with('.') && !name.contains(".."), "{name}");
        }
        let long = "long ".repeat(1000);
        let name = key(&long, &long, &long).file_name();
        assert!(
            name.len() < 200 && name.ends_with("1.2.3-rc.4.json"),
            "{name}"
        );
    }
}
