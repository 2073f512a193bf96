//! Values as a tensor stores them, in words, by the `half` crate.

use half::{bf16, f16};
use wgpu_batchnorm::Element;

/// What is in the upper half of the last word of an odd number of halves: it belongs to a neighbour. A number,
/// since a NaN comes through any arithmetic as it was.
pub const NEIGHBOUR: u16 = 0x5a5a;

/// The bits of a half.
pub fn half_bits(element: Element, value: f32) -> u16 {
    match element {
        Element::Bf16 => bf16::from_f32(value).to_bits(),
        _ => f16::from_f32(value).to_bits(),
    }
}

/// The value of a half.
pub fn half_value(element: Element, bits: u16) -> f32 {
    match element {
        Element::Bf16 => bf16::from_bits(bits).to_f32(),
        _ => f16::from_bits(bits).to_f32(),
    }
}

/// Halves as words.
pub fn words_of_halves(halves: &[u16]) -> Vec<u32> {
    let word = |pair: &[u16]| {
        let upper = pair.get(1).copied().unwrap_or(NEIGHBOUR);
        u32::from(pair[0]) | u32::from(upper) << 16
    };
    halves.chunks(2).map(word).collect()
}

/// Words as halves: the first `len`.
pub fn halves_of_words(words: &[u32], len: usize) -> Vec<u16> {
    let halves = words
        .iter()
        .flat_map(|word| [*word as u16, (word >> 16) as u16]);
    halves.take(len).collect()
}

pub fn encode(element: Element, values: &[f32]) -> Vec<u32> {
    if element == Element::F32 {
        return bytemuck::cast_slice(values).to_vec();
    }
    let halves: Vec<_> = values
        .iter()
        .map(|&value| half_bits(element, value))
        .collect();
    words_of_halves(&halves)
}

pub fn decode(element: Element, words: &[u32], len: usize) -> Vec<f32> {
    if element == Element::F32 {
        return bytemuck::cast_slice(words).to_vec();
    }
    let halves = halves_of_words(words, len).into_iter();
    halves.map(|bits| half_value(element, bits)).collect()
}

/// The values that are stored for these.
pub fn rounded(element: Element, values: &[f32]) -> Vec<f32> {
    decode(element, &encode(element, values), values.len())
}

/// The largest share of a value that storing it rounds off: half of the last place.
pub fn rounding(element: Element) -> f64 {
    match element {
        Element::F32 => 0.0,
        Element::F16 => f64::from(2.0f32.powi(-11)),
        Element::Bf16 => f64::from(2.0f32.powi(-8)),
    }
}
