//! Two small real tables, so that the command measures and checks real input wherever it is installed.
//!
//! Wine (Aeberhard and Forina, 1991) and Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), UCI
//! Machine Learning Repository, CC BY 4.0; `tests/data/SOURCE.md` says more.

use std::io::Read;

use anyhow::{Context, Result, ensure};

/// A table of `rows` samples of `columns` features, without its class column.
pub struct Table {
    /// What it is called.
    pub name: &'static str,
    /// What it is called at length.
    pub title: &'static str,
    /// Samples.
    pub rows: usize,
    /// Features.
    pub columns: usize,
    /// The features of one sample after another.
    pub values: Vec<f32>,
}

/// Wine and digits.
pub fn tables() -> Result<[Table; 2]> {
    let wine: &[u8] = include_bytes!("../../tests/data/wine_data.csv");
    let digits: &[u8] = include_bytes!("../../tests/data/digits.csv.gz");
    // Wine's first line counts rows and columns and names the classes.
    Ok([
        read("wine", "Wine (UCI), real data", wine, 1)?,
        read(
            "digits",
            "Handwritten Digits (UCI), real data",
            flate2::read::GzDecoder::new(digits),
            0,
        )?,
    ])
}

fn read(name: &'static str, title: &'static str, source: impl Read, skip: usize) -> Result<Table> {
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(source);
    let mut table = Table {
        name,
        title,
        rows: 0,
        columns: 0,
        values: Vec::new(),
    };
    for record in reader.records().skip(skip) {
        let record = record?;
        let columns = record.len().saturating_sub(1);
        ensure!(
            columns > 0 && (table.rows == 0 || columns == table.columns),
            "row {} is ragged",
            table.rows
        );
        table.columns = columns;
        table.rows += 1;
        for field in record.iter().take(columns) {
            table.values.push(
                field
                    .trim()
                    .parse()
                    .with_context(|| format!("{field:?} is not a number"))?,
            );
        }
    }
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_what_their_source_says() {
        let [wine, digits] = tables().expect("embedded");
        assert_eq!(
            (wine.rows, wine.columns, wine.values.len()),
            (178, 13, 178 * 13)
        );
        assert_eq!(
            (digits.rows, digits.columns, digits.values.len()),
            (1797, 64, 1797 * 64)
        );
        assert_eq!(wine.values[..3], [14.23, 1.71, 2.43]);
        let proline: f32 = wine.values.iter().skip(12).step_by(13).sum::<f32>() / 178.0;
        assert!((proline - 747.0).abs() < 1.0);
        assert!(
            digits
                .values
                .iter()
                .all(|value| (0.0..=16.0).contains(value))
        );
    }

    #[test]
    fn ragged_and_wordy_tables_are_errors() {
        assert!(read("", "", "1,2,0\n1,0\n".as_bytes(), 0).is_err());
        assert!(read("", "", "1,wine,0\n".as_bytes(), 0).is_err());
    }
}
