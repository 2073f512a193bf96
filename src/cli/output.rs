//! What the command leaves behind: text for people, files for programs.

use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Row, Table};
use indicatif::{ProgressBar, ProgressStyle};
use wgpu_batchnorm::wgpu;

/// Prints to standard output. Whoever has stopped reading has read enough.
pub fn print(text: &str) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}

/// What drives an adapter: some drivers say all in one of the two texts.
pub fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info)
        .trim()
        .to_owned()
}

/// The adapter and its driver, a line each.
pub fn adapter_lines(info: &wgpu::AdapterInfo) -> String {
    let software = match info.device_type {
        wgpu::DeviceType::Cpu => "\n(a software adapter: it runs on the CPU)",
        _ => "",
    };
    format!(
        "{}, {}\ndriver {}{software}",
        info.name,
        info.backend,
        driver(info)
    )
}

/// A bar on standard error where that is a terminal, and nothing elsewhere.
pub fn progress(len: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{bar:30} {pos}/{len} {wide_msg}")
        .expect("the template is a constant");
    ProgressBar::new(len as u64).with_style(style)
}

/// A table without lines, so that it fits 80 columns and is easy to cut up: text on the left, numbers on the right.
pub fn table(header: &[&str], text_columns: usize) -> Table {
    let mut table = Table::new();
    table.load_style(comfy_table::presets::NOTHING);
    table.set_header(row(
        header.iter().map(|&cell| cell.to_owned()),
        text_columns,
    ));
    table
}

/// A row of such a table.
pub fn row(cells: impl IntoIterator<Item = String>, text_columns: usize) -> Row {
    let aligned = cells.into_iter().enumerate().map(|(column, cell)| {
        let side = if column < text_columns {
            CellAlignment::Left
        } else {
            CellAlignment::Right
        };
        Cell::new(cell).set_alignment(side)
    });
    Row::from(aligned.collect::<Vec<_>>())
}

/// Columns of the terminal, or 80.
pub fn room() -> usize {
    usize::from(Table::new().width().unwrap_or(80))
}

/// The lines of such a table, header first, spread out as far as the terminal allows, or 80 columns.
pub fn lines(mut table: Table) -> Vec<String> {
    let widths = table.column_max_content_widths();
    let content: usize = widths.iter().map(|&width| usize::from(width)).sum();
    let gaps = widths.len().saturating_sub(1);
    let fits = |gap: &u16| content + usize::from(*gap) * gaps <= room();
    let gap = (1..=4).rev().find(fits).unwrap_or(1);
    for column in table.column_iter_mut() {
        column.set_padding((0, gap));
    }
    table
        .lines()
        .map(|line| line.trim_end().to_owned())
        .collect()
}

/// Three significant digits, without an exponent where that is readable.
pub fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        size if size >= 99.95 => 0,
        size if size >= 9.995 => 1,
        size if size >= 0.9995 => 2,
        size if size >= 0.09995 => 3,
        _ => 4,
    };
    format!("{value:.decimals$}")
}

/// An error in two digits.
pub fn error_digits(error: f64) -> String {
    if error == 0.0 {
        "0".to_owned()
    } else {
        format!("{error:.1e}")
    }
}

/// A file that comes into being whole or not at all.
pub struct WholeFile {
    path: PathBuf,
}

impl WholeFile {
    /// Checks that the file can be written, before anything is worked on that should go into it.
    pub fn new(path: &Path) -> Result<Self> {
        let file = Self {
            path: path.to_owned(),
        };
        file.temporary()?;
        Ok(file)
    }

    /// Writes beside the file and renames.
    pub fn write(&self, bytes: &[u8]) -> Result<()> {
        let mut temporary = self.temporary()?;
        let name = || self.path.display().to_string();
        temporary.write_all(bytes).with_context(name)?;
        temporary
            .persist(&self.path)
            .map_err(|error| error.error)
            .with_context(name)?;
        Ok(())
    }

    fn temporary(&self) -> Result<tempfile::NamedTempFile> {
        let folder = match self.path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        let mut builder = tempfile::Builder::new();
        // As any new file: readable by whom the user's mask allows.
        #[cfg(unix)]
        builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
        builder
            .tempfile_in(folder)
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_three_digits() {
        for (value, text) in [
            (1234.5, "1234"),
            (99.96, "100"),
            (12.345, "12.3"),
            (9.996, "10.0"),
            (1.0, "1.00"),
            (0.12345, "0.123"),
            (0.012_345, "0.0123"),
        ] {
            assert_eq!(digits(value), text);
        }
    }

    #[test]
    fn files_are_replaced_whole() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("out.json");
        let file = WholeFile::new(&path).expect("writable");
        assert!(!path.exists());
        file.write(b"first").expect("writable");
        file.write(b"2nd").expect("writable");
        assert_eq!(std::fs::read(&path).expect("readable"), b"2nd");
        assert_eq!(
            std::fs::read_dir(folder.path()).expect("a folder").count(),
            1
        );
        assert!(WholeFile::new(&folder.path().join("none/out.json")).is_err());
    }
}
