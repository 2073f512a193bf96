//! How much memory there is, so that a shape too large ends in a message instead of in the system's hands.

use anyhow::{Result, ensure};
use sysinfo::{MemoryRefreshKind, RefreshKind, System};

/// Bytes that can be had now; none where the system does not say.
pub fn available() -> Option<u64> {
    let kind = RefreshKind::nothing().with_memory(MemoryRefreshKind::nothing().with_ram());
    let system = System::new_with_specifics(kind);
    // A container may have less than its host. What is free in it is of no use: its caches count as taken.
    let container = system.cgroup_limits().map(|limits| limits.total_memory);
    let bytes = system.available_memory().min(container.unwrap_or(u64::MAX));
    (bytes > 0).then_some(bytes)
}

/// An error where so many bytes cannot be had now.
pub fn reserve(bytes: u64) -> Result<()> {
    if let Some(available) = available() {
        ensure!(
            bytes <= available,
            "about {} of memory are needed, {} are free",
            text(bytes),
            text(available)
        );
    }
    Ok(())
}

/// Bytes for people, in units of 1024.
pub fn text(bytes: u64) -> String {
    const UNITS: [&str; 6] = ["KiB", "MiB", "GiB", "TiB", "PiB", "EiB"];
    if bytes < 1024 {
        return format!("{bytes} bytes");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    let decimals = usize::from(value < 99.95);
    let number = format!("{value:.decimals$}");
    let number = number.strip_suffix(".0").unwrap_or(&number);
    format!("{number} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_text_in_their_unit() {
        for (bytes, expected) in [
            (0, "0 bytes"),
            (1023, "1023 bytes"),
            (1024, "1 KiB"),
            (1536, "1.5 KiB"),
            (2020, "2 KiB"),
            (100 << 10, "100 KiB"),
            (64 << 10, "64 KiB"),
            ((1 << 20) - 1, "1 MiB"),
            (6_422_528 * 4, "24.5 MiB"),
            ((1 << 31) - 4, "2 GiB"),
            (u64::MAX, "16 EiB"),
        ] {
            assert_eq!(text(bytes), expected);
        }
    }

    #[test]
    fn more_than_there_is_cannot_be_reserved() {
        assert!(reserve(0).is_ok());
        let refused = reserve(u64::MAX);
        assert!(available().is_none() || refused.is_err());
    }
}
