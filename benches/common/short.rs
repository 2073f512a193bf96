//! Benches of many rows, each short.

use std::time::Duration;

use criterion::Criterion;

pub fn short() -> Criterion {
    Criterion::default()
        .sample_size(15)
        .warm_up_time(Duration::from_millis(300))
        .measurement_time(Duration::from_millis(1500))
}
