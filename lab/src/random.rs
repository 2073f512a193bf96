//! Random numbers that are the same on every machine, a stream of their own for each purpose.

use rand::seq::SliceRandom;
use rand_distr::{Distribution, StandardNormal};
use rand_pcg::Pcg64;

/// What random numbers are for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stream {
    /// Which samples are in which split.
    Split = 1,
    /// Which training samples a small training set has.
    Subset,
    /// The first weights.
    Weights,
    /// The order of samples in training.
    Batches,
    /// The company that a sample is in.
    Company,
    /// Which values an interval is found from.
    Resampling,
}

fn generator(seed: u64, stream: Stream) -> Pcg64 {
    Pcg64::new(seed.into(), stream as u128)
}

/// In another order.
pub fn shuffled(mut rows: Vec<u32>, seed: u64, stream: Stream) -> Vec<u32> {
    rows.shuffle(&mut generator(seed, stream));
    rows
}

/// Values of mean 0 and deviation 1.
pub fn normal(seed: u64, stream: Stream) -> impl Iterator<Item = f32> {
    let mut generator = generator(seed, stream);
    std::iter::repeat_with(move || StandardNormal.sample(&mut generator))
}

/// `turns` batches of `size` rows each: epochs, each in an order of its own, whose last rows are left out where they fill
/// no batch. Where there are fewer rows than a batch has, epochs run on within it.
pub fn batches(rows: &[u32], size: usize, turns: usize, seed: u64, stream: Stream) -> Vec<u32> {
    let mut generator = generator(seed, stream);
    let mut all = Vec::with_capacity(size * turns);
    let mut epoch = rows.to_vec();
    while all.len() < size * turns && !rows.is_empty() {
        epoch.shuffle(&mut generator);
        let whole = rows.len() / size * size;
        all.extend_from_slice(if whole == 0 { &epoch } else { &epoch[..whole] });
    }
    all.truncate(size * turns);
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seed_gives_the_same_numbers_and_another_others() {
        let first = |seed| -> Vec<f32> { normal(seed, Stream::Weights).take(3).collect() };
        assert_eq!(first(1), first(1));
        assert_ne!(first(1), first(2));
        assert_ne!(
            first(1),
            normal(1, Stream::Batches).take(3).collect::<Vec<_>>()
        );
    }

    #[test]
    fn an_epoch_has_every_row_once() {
        let rows: Vec<u32> = (0..12).collect();
        let turns = batches(&rows, 4, 6, 9, Stream::Batches);
        for epoch in turns.chunks(12) {
            let mut epoch = epoch.to_vec();
            epoch.sort_unstable();
            assert_eq!(epoch, rows);
        }
        assert_ne!(turns[..12], turns[12..]);
        // Two rows are left out of each epoch.
        let turns = batches(&rows, 5, 4, 9, Stream::Batches);
        assert_eq!(turns.len(), 20);
        assert_eq!(batches(&[3], 4, 1, 0, Stream::Batches), [3; 4]);
    }
}
