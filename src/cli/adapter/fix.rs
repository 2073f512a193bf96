//! What to do where there is no adapter, in the words of the system at hand.

use std::path::Path;

/// Environment variables that tell Vulkan's loader to look at these drivers alone.
const DRIVER_VARIABLES: [&str; 2] = ["VK_DRIVER_FILES", "VK_ICD_FILENAMES"];

/// Distributions by the names in their `os-release`, and what installs Vulkan's loader, Mesa's drivers for GPUs and its
/// software adapter there.
const DISTRIBUTIONS: [(&[&str], &str); 8] = [
    (&["debian", "ubuntu"], "`apt install mesa-vulkan-drivers`"),
    (
        &["fedora", "rhel", "centos"],
        "`dnf install mesa-vulkan-drivers vulkan-loader`",
    ),
    (
        &["arch"],
        "`pacman -S vulkan-icd-loader vulkan-swrast`, and vulkan-radeon or vulkan-intel for such a GPU",
    ),
    (
        &["opensuse", "suse"],
        "`zypper install libvulkan1 libvulkan_lvp`",
    ),
    (&["alpine"], "`apk add vulkan-loader mesa-vulkan-swrast`"),
    (
        &["void"],
        "`xbps-install vulkan-loader mesa-vulkan-lavapipe`",
    ),
    (
        &["gentoo"],
        "`USE=\"vulkan llvm\" emerge media-libs/vulkan-loader media-libs/mesa`",
    ),
    (
        &["nixos"],
        "`hardware.graphics.enable = true;` in the system's configuration",
    ),
];

/// What to do on this system.
pub fn here() -> String {
    let hiding = DRIVER_VARIABLES
        .into_iter()
        .find_map(|variable| Some((variable, std::env::var(variable).ok()?)));
    let os_release = ["/etc/os-release", "/usr/lib/os-release"]
        .into_iter()
        .find_map(|path| std::fs::read_to_string(path).ok())
        .unwrap_or_default();
    let fix = on(std::env::consts::OS, &os_release);
    match (hiding, forbidden()) {
        (Some((variable, value)), _) => format!(
            "{fix}; or unset {variable}: while it is set, only the drivers in it are looked at ({value})"
        ),
        (None, Some(node)) => {
            format!("{fix}; or let this user open {node}, which often takes the group `render`")
        }
        (None, None) => fix,
    }
}

/// What to do on a system: one of [`std::env::consts::OS`], on Linux with the text of `/etc/os-release`.
fn on(system: &str, os_release: &str) -> String {
    match system {
        "windows" => "install the driver from the maker of the GPU; without a GPU, Direct3D 12's software adapter is part \
                      of Windows 10 and later"
            .to_owned(),
        "macos" => "Metal is part of macOS 10.13 and later, and needs a GPU that it supports: in a virtual machine, give \
                    the machine a GPU"
            .to_owned(),
        "linux" => linux(os_release),
        _ => "install a driver for Vulkan; without a GPU Mesa's software one, lavapipe, will do".to_owned(),
    }
}

fn linux(os_release: &str) -> String {
    let names = names(os_release);
    let known = names.iter().find_map(|name| {
        // openSUSE says opensuse-leap or opensuse-tumbleweed
        let is = |known: &&&str| name == **known || name.starts_with(&format!("{known}-"));
        DISTRIBUTIONS
            .iter()
            .find(|(names, _)| names.iter().any(|known| is(&known)))
    });
    match known {
        Some((_, install)) => format!(
            "install a driver with {install}; that has a software adapter too, for machines without a GPU; NVIDIA's GPUs \
             take NVIDIA's own driver"
        ),
        None => "install a driver: your distribution's packages of Vulkan's loader and Mesa's Vulkan drivers; Mesa's \
                 software adapter, lavapipe, will do without a GPU; NVIDIA's GPUs take NVIDIA's own driver"
            .to_owned(),
    }
}

/// The distribution's own name, then those it is like.
fn names(os_release: &str) -> Vec<String> {
    let value = |key: &str| {
        os_release
            .lines()
            .find_map(|line| line.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_default()
            .trim_matches(['"', '\''])
            .to_lowercase()
    };
    format!("{} {}", value("ID"), value("ID_LIKE"))
        .split_whitespace()
        .map(str::to_owned)
        .collect()
}

/// A GPU that is there, but that this user may not open.
fn forbidden() -> Option<String> {
    let nodes = Path::new("/dev/dri").read_dir().ok()?;
    nodes.flatten().map(|node| node.path()).find_map(|node| {
        let is_gpu = node.file_name()?.to_str()?.starts_with("renderD");
        let error = std::fs::File::open(&node).err()?;
        (is_gpu && error.kind() == std::io::ErrorKind::PermissionDenied)
            .then(|| node.display().to_string())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_system_has_its_own_words() {
        for (os_release, words) in [
            (
                "ID=debian\nVERSION_ID=\"12\"\n",
                "`apt install mesa-vulkan-drivers`",
            ),
            (
                "NAME=\"Ubuntu\"\nID=ubuntu\nID_LIKE=debian\n",
                "`apt install",
            ),
            ("ID=linuxmint\nID_LIKE=\"ubuntu debian\"\n", "`apt install"),
            ("ID=fedora\n", "`dnf install mesa-vulkan-drivers"),
            (
                "ID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n",
                "`dnf install",
            ),
            ("ID=arch\n", "`pacman -S vulkan-icd-loader"),
            ("ID=endeavouros\nID_LIKE='arch'\n", "`pacman -S"),
            (
                "ID=\"opensuse-tumbleweed\"\nID_LIKE=\"opensuse suse\"\n",
                "`zypper install",
            ),
            ("ID=alpine\n", "`apk add"),
            ("ID=nixos\n", "hardware.graphics.enable"),
            ("ID=plan9\n", "your distribution's packages"),
            ("", "your distribution's packages"),
        ] {
            let fix = on("linux", os_release);
            assert!(fix.contains(words), "{os_release}: {fix}");
            assert_eq!(fix.lines().count(), 1);
        }
        assert!(on("windows", "").contains("maker of the GPU"));
        assert!(on("macos", "").contains("Metal"));
        assert!(on("freebsd", "").contains("Vulkan"));
    }
}
