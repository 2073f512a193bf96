//! What the command leaves behind: text for people, files for programs.

mod file;

use std::fmt::Display;
use std::io::{ErrorKind, Write};

use anstyle::{AnsiColor, Style};
use anyhow::{Context, Result};
use comfy_table::{Cell, CellAlignment, Row, Table};
use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use wgpu_batchnorm::wgpu;

pub use file::{WholeFile, clean_up_when_stopped, exit};

const BAD: Style = AnsiColor::Red.on_default().bold();

/// Prints to standard output: with styles where that is a terminal, unless `NO_COLOR` is set. Whoever has stopped reading
/// has read enough.
pub fn print(text: &str) -> Result<()> {
    let mut out = anstream::stdout().lock();
    match writeln!(out, "{text}").and_then(|()| out.flush()) {
        Err(error) if error.kind() != ErrorKind::BrokenPipe => {
            Err(error).context("standard output")
        }
        _ => Ok(()),
    }
}

/// Says on standard error what went wrong, styled as [`print()`] does.
pub fn print_error(error: impl Display) {
    let error = plain(&error.to_string());
    // Where standard error is closed nobody listens.
    let _ = writeln!(anstream::stderr().lock(), "{BAD}error:{BAD:#} {error}");
}

/// Text of others, such as names in a file, without what a terminal would obey.
pub fn plain(text: &str) -> String {
    let obeyed = |c: char| c.is_control() && c != '\n' && c != '\t';
    let mut plain = String::with_capacity(text.len());
    for c in text.chars() {
        if obeyed(c) {
            plain.extend(c.escape_default());
        } else {
            plain.push(c);
        }
    }
    plain
}

/// A word that something is wrong by.
pub fn bad(word: &str) -> String {
    format!("{BAD}{word}{BAD:#}")
}

/// A report as JSON, with a line break at its end.
pub fn json(report: &impl Serialize) -> Result<Vec<u8>> {
    let mut json = serde_json::to_vec_pretty(report)?;
    json.push(b'\n');
    Ok(json)
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

/// Sentences that fit 80 columns, each on lines of its own.
pub fn wrapped(sentences: &[String]) -> String {
    const WIDTH: usize = 80;
    let mut lines: Vec<String> = Vec::new();
    for sentence in sentences {
        let mut line = String::new();
        for word in sentence.split(' ') {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::replace(&mut line, " ".to_owned()));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn terminals_obey_nothing_that_others_wrote() {
        assert_eq!(
            plain("a\u{1b}[31m\u{9b}b\r\nc"),
            "a\\u{1b}[31m\\u{9b}b\\r\nc"
        );
    }

    #[test]
    fn sentences_are_cut_between_words() {
        let sentence = vec!["abcde"; 20].join(" ");
        let text = wrapped(&["one".to_owned(), sentence.clone()]);
        assert_eq!(text.lines().count(), 3);
        assert!(text.lines().all(|line| line.len() <= 80));
        let words: Vec<_> = text.split_whitespace().collect();
        assert_eq!(words.join(" "), format!("one {sentence}"));
    }

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
}
