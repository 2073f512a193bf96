//! Halves are stored as the `half` crate stores them: every bit pattern, every tie. Needs an adapter.

mod common;

use common::storage::{check_pack, check_unpack, text_of};
use common::stored::{half_value, halves_of_words, words_of_halves};
use common::{bare, messages, shape};
use wgpu_batchnorm::{Buffers, Element, Inference, Plan, Tensor};

const HALVES: [Element; 2] = [Element::F16, Element::Bf16];

#[test]
fn every_half_is_read_as_its_value() {
    for element in HALVES {
        assert_eq!(check_unpack(element, text_of(element)), Ok(()));
    }
}

#[test]
fn every_number_is_rounded_to_the_nearest_half() {
    for element in HALVES {
        assert_eq!(check_pack(element, text_of(element)), Ok(()));
    }
}

/// The identity as a batch normalization, over all halves: by vec4, and by words where two channels share some.
#[test]
fn every_half_goes_through_the_device() {
    let gpu = &bare().gpu;
    for element in HALVES {
        for (channels, inner) in [(1, 1 << 16), (3, 21845)] {
            let shape = shape(1, channels, inner);
            let all: Vec<u16> = (0..shape.len()).map(|n| n as u16).collect();
            let options = Inference::default()
                .epsilon(0.0)
                .gamma(false)
                .beta(false)
                .element(element);
            let plan = Plan::inference(&bare().limits, shape, &options).expect("a plan");
            let up = |words: &[u32]| gpu.upload(words, "tensor").expect("a small buffer");
            let words = words_of_halves(&all);
            let (x, y) = (up(&words), up(&words_of_halves(&vec![0; all.len()])));
            let [mean, variance] = [0.0f32, 1.0]
                .map(|value| up(bytemuck::cast_slice(&vec![value; channels as usize])));
            let at = |buffer| Tensor::new(buffer, 0, shape.len()).stored_as(element);
            let buffers = Buffers::new(at(&x), at(&y))
                .statistics(Tensor::whole(&mean), Tensor::whole(&variance));
            let step = plan
                .bind(&bare().kernels, buffers)
                .expect("fitting tensors");
            gpu.run("identity", |pass| step.record(pass));
            let words: Vec<u32> = gpu.blocking_download(Tensor::whole(&y)).expect("y");
            for (&half, stored) in all.iter().zip(halves_of_words(&words, all.len())) {
                let value = half_value(element, half);
                let stored_value = half_value(element, stored);
                // a device may take for 0 what is less than normal in f32, and -0 + 0 is 0
                let flushed = value.abs() < f32::MIN_POSITIVE && stored_value == 0.0;
                let nan = value.is_nan() && stored_value.is_nan();
                assert!(
                    stored == half || flushed || nan,
                    "{element:?} {half:#06x} comes back as {stored:#06x}"
                );
            }
            messages::assert_quiet();
        }
    }
}
