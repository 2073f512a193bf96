//! Two small real tables with fixed, stratified splits.
//!
//! Wine (Aeberhard and Forina, 1991) and Optical Recognition of Handwritten Digits (Alpaydin and Kaynak, 1998), UCI
//! Machine Learning Repository, CC BY 4.0; `tests/data/SOURCE.md` of the repository says more.

use std::io::Read;

use serde::{Deserialize, Serialize};

use crate::Error;
use crate::random::{Stream, shuffled};

/// A table of samples with a class each.
#[derive(Clone, Debug, PartialEq)]
pub struct Table {
    /// Features of a sample.
    pub columns: usize,
    /// Classes that there are.
    pub classes: usize,
    /// The features of one sample after another.
    pub values: Vec<f32>,
    /// The class of each sample, from 0.
    pub labels: Vec<u32>,
}

/// Which table, and what is done to its features beforehand.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Source {
    /// Digits: 1797 samples of 64 pixels, divided by 16, the largest, so that they are 0 to 1.
    Digits,
    /// Wine: 178 samples of 13 features as they are.
    Wine,
    /// Wine, each feature standardized by its mean and deviation in the training split.
    WineStandardized,
    /// Wine, feature `i` multiplied by 10 to the power of `i mod 7 - 3`.
    WineScaled,
}

/// What a sample is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Split {
    /// To train on.
    Training,
    /// To choose learning rates by.
    Validation,
    /// To report.
    Test,
}

impl Table {
    /// The table of a source.
    ///
    /// # Errors
    /// [`Error::Data`] where the embedded files are not what they should be.
    pub fn read(source: Source) -> Result<Self, Error> {
        if source == Source::Digits {
            let digits: &[u8] = include_bytes!("../../tests/data/digits.csv.gz");
            let mut table = parse(flate2::read::GzDecoder::new(digits), 0)?;
            for value in &mut table.values {
                *value /= 16.0;
            }
            return Ok(table);
        }
        let wine: &[u8] = include_bytes!("../../tests/data/wine_data.csv");
        // The first line counts rows and columns and names the classes.
        let mut table = parse(wine, 1)?;
        if source == Source::WineStandardized {
            table.standardize();
        }
        if source == Source::WineScaled {
            for row in table.values.chunks_mut(table.columns) {
                for (exponent, value) in (-3..=3).cycle().zip(row) {
                    *value *= 10f32.powi(exponent);
                }
            }
        }
        Ok(table)
    }

    /// Samples.
    pub fn rows(&self) -> usize {
        self.labels.len()
    }

    /// The samples of a split: of each class 3 fifths to train, 1 to validate, 1 to test, the same ones always.
    pub fn split(&self, split: Split) -> Vec<u32> {
        let mut chosen = Vec::new();
        for class in 0..self.classes as u32 {
            let of_class = (0..self.rows() as u32)
                .filter(|&row| self.labels[row as usize] == class)
                .collect();
            let of_class = shuffled(of_class, 0, Stream::Split);
            let fifth = of_class.len() / 5;
            chosen.extend_from_slice(match split {
                Split::Validation => &of_class[..fifth],
                Split::Test => &of_class[fifth..2 * fifth],
                Split::Training => &of_class[2 * fifth..],
            });
        }
        chosen.sort_unstable();
        chosen
    }

    /// `count` training samples that a seed chooses, classes as even as they can be. All of them where there are no more.
    pub fn training_subset(&self, count: usize, seed: u64) -> Vec<u32> {
        let mut by_class: Vec<Vec<u32>> = vec![Vec::new(); self.classes];
        for row in shuffled(self.split(Split::Training), seed, Stream::Subset) {
            by_class[self.labels[row as usize] as usize].push(row);
        }
        let most = by_class.iter().map(Vec::len).max().unwrap_or(0);
        let in_turn =
            (0..most).flat_map(|turn| by_class.iter().filter_map(move |rows| rows.get(turn)));
        in_turn.copied().take(count).collect()
    }

    fn standardize(&mut self) {
        let training = self.split(Split::Training);
        for column in 0..self.columns {
            let of = |row: usize| f64::from(self.values[row * self.columns + column]);
            let count = training.len() as f64;
            let mean = training.iter().map(|&row| of(row as usize)).sum::<f64>() / count;
            let square = |row: &u32| (of(*row as usize) - mean).powi(2);
            let deviation = (training.iter().map(square).sum::<f64>() / count).sqrt();
            for row in self.values.chunks_mut(self.columns) {
                row[column] = ((f64::from(row[column]) - mean) / deviation) as f32;
            }
        }
    }
}

fn parse(source: impl Read, skip: usize) -> Result<Table, Error> {
    let data = |message: String| Error::Data { message };
    let mut reader = csv::ReaderBuilder::new()
        .has_headers(false)
        .flexible(true)
        .from_reader(source);
    let mut table = Table {
        columns: 0,
        classes: 0,
        values: Vec::new(),
        labels: Vec::new(),
    };
    for record in reader.records().skip(skip) {
        let record = record.map_err(|error| data(error.to_string()))?;
        let columns = record.len().saturating_sub(1);
        let ragged = table.rows() > 0 && columns != table.columns;
        let class = record.get(columns).filter(|_| columns > 0 && !ragged);
        let class = class.ok_or_else(|| data(format!("row {} is ragged", table.rows())))?;
        table.columns = columns;
        for field in record.iter().take(columns) {
            let value = field.trim().parse();
            table
                .values
                .push(value.map_err(|_| data(format!("{field:?} is not a number")))?);
        }
        let class = class.trim().parse();
        table
            .labels
            .push(class.map_err(|_| data("a class is not a number".into()))?);
    }
    table.classes = table
        .labels
        .iter()
        .max()
        .map_or(0, |&class| class as usize + 1);
    Ok(table)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tables_are_what_their_source_says() {
        let digits = Table::read(Source::Digits).expect("embedded");
        assert_eq!(
            (digits.rows(), digits.columns, digits.classes),
            (1797, 64, 10)
        );
        assert!(
            digits
                .values
                .iter()
                .all(|value| (0.0..=1.0).contains(value))
        );
        let wine = Table::read(Source::Wine).expect("embedded");
        assert_eq!((wine.rows(), wine.columns, wine.classes), (178, 13, 3));
        assert_eq!(wine.values[..3], [14.23, 1.71, 2.43]);
        let scaled = Table::read(Source::WineScaled).expect("embedded");
        assert_eq!(scaled.values[3], wine.values[3]);
        assert_eq!(scaled.values[6], wine.values[6] * 1000.0);
    }

    #[test]
    fn splits_share_no_sample_and_have_every_class_in_its_share() {
        for source in [Source::Digits, Source::Wine] {
            let table = Table::read(source).expect("embedded");
            let splits =
                [Split::Training, Split::Validation, Split::Test].map(|split| table.split(split));
            let mut all: Vec<u32> = splits.concat();
            all.sort_unstable();
            assert_eq!(all, (0..table.rows() as u32).collect::<Vec<_>>());
            for split in &splits {
                for class in 0..table.classes as u32 {
                    let of = |rows: &[u32]| {
                        let of_class = rows
                            .iter()
                            .filter(|&&row| table.labels[row as usize] == class);
                        of_class.count() as f64 / rows.len() as f64
                    };
                    assert!((of(split) - of(&all)).abs() < 0.02);
                }
            }
        }
    }

    #[test]
    fn standardized_features_have_mean_0_and_deviation_1_where_networks_train() {
        let table = Table::read(Source::WineStandardized).expect("embedded");
        let training = table.split(Split::Training);
        for column in 0..table.columns {
            let of = |row: &u32| f64::from(table.values[*row as usize * table.columns + column]);
            let mean = training.iter().map(of).sum::<f64>() / training.len() as f64;
            let square =
                training.iter().map(|row| of(row).powi(2)).sum::<f64>() / training.len() as f64;
            assert!(mean.abs() < 1e-6 && (square - 1.0).abs() < 1e-5);
        }
    }

    #[test]
    fn subsets_are_of_the_training_split_and_even() {
        let table = Table::read(Source::Digits).expect("embedded");
        let training = table.split(Split::Training);
        let subset = table.training_subset(100, 7);
        assert!(subset.len() == 100 && subset.iter().all(|row| training.contains(row)));
        for class in 0..10 {
            let of_class = subset
                .iter()
                .filter(|&&row| table.labels[row as usize] == class);
            assert_eq!(of_class.count(), 10);
        }
        assert_ne!(subset, table.training_subset(100, 8));
        assert_eq!(table.training_subset(5000, 7).len(), training.len());
    }
}
