//! The storage shaders by themselves, held against the `half` crate.

use half::{bf16, f16};
use wgpu_batchnorm::{Element, Tensor};

use super::device::pipeline;
use super::stored::{half_bits, half_value, halves_of_words, words_of_halves};
use super::{bare, messages};

/// The file.
pub fn text_of(element: Element) -> &'static str {
    match element {
        Element::Bf16 => include_str!("../../shaders/storage/bf16.wgsl"),
        _ => include_str!("../../shaders/storage/f16.wgsl"),
    }
}

/// Runs a file of the storage shaders alone: `body` makes `results[i]` from `source[i]`.
fn run(storage: &str, from: (&str, &[u32]), to: (&str, u64), body: &str) -> Vec<u32> {
    let gpu = &bare().gpu;
    let ((from_type, words), (to_type, results)) = (from, to);
    let text = format!(
        "{storage}
         @group(0) @binding(0) var<storage, read> source: array<{from_type}>;
         @group(0) @binding(1) var<storage, read_write> results: array<{to_type}>;
         @compute @workgroup_size(64)
         fn main(@builtin(global_invocation_id) id: vec3<u32>) {{
             let i = id.x;
             if i < arrayLength(&results) {{ {body} }}
         }}"
    );
    let from = gpu.upload(words, "from").expect("a buffer of this size");
    let to = gpu.zeros(results, "to").expect("a buffer of this size");
    let (pipeline, group) = pipeline(gpu.device(), text, &[&from, &to]);
    gpu.run("storage", |pass| {
        pass.set_pipeline(&pipeline);
        pass.set_bind_group(0, &group, &[]);
        pass.dispatch_workgroups((words.len() as u32).div_ceil(64), 1, 1);
    });
    let words = gpu
        .blocking_download(Tensor::whole(&to))
        .expect("a live device");
    messages::assert_quiet();
    words
}

/// Every half is read as its value, by this text.
pub fn check_unpack(element: Element, text: &str) -> Result<(), String> {
    let all: Vec<u16> = (0..=u16::MAX).collect();
    let words = words_of_halves(&all);
    let body = "results[i] = bitcast<vec2<u32>>(unpack(source[i]));";
    let read = run(text, ("u32", &words), ("vec2<u32>", 1 << 16), body);
    for (&half, &bits) in all.iter().zip(&read) {
        let (actual, wanted) = (f32::from_bits(bits), half_value(element, half));
        let same = bits == wanted.to_bits() || actual.is_nan() && wanted.is_nan();
        if !same {
            return Err(format!(
                "{element:?} {half:#06x} is read as {actual:?}, not {wanted:?}"
            ));
        }
    }
    Ok(())
}

/// What rounding may get wrong: every half, the middle between it and the next, and the neighbours of both; what is too
/// large, too small and not a number.
fn numbers(element: Element) -> Vec<f32> {
    let infinity = match element {
        Element::Bf16 => bf16::INFINITY.to_bits(),
        _ => f16::INFINITY.to_bits(),
    };
    let mut numbers = vec![
        65519.99,
        65520.0,
        65536.0,
        1e30,
        f32::MAX,
        f32::INFINITY,
        f32::MIN_POSITIVE,
        f32::from_bits(1),
        f32::from_bits(0x007f_ffff),
        f32::NAN,
        f32::from_bits(0x7f80_0001),
        f32::from_bits(0x7fff_ffff),
        f32::from_bits(0x7fa0_5555),
        f32::from_bits(0x7f80_8000),
    ];
    for bits in 0..infinity {
        let value = half_value(element, bits);
        let middle = match element {
            // of halves of 16 bits of f32
            Element::Bf16 => f32::from_bits(value.to_bits() | 0x8000),
            // the step beyond the largest one is as long as the one before it
            _ if bits + 1 == infinity => 65520.0,
            _ => f32::midpoint(value, half_value(element, bits + 1)),
        };
        for number in [value, middle] {
            let bits = number.to_bits();
            let near = [bits.saturating_sub(1), bits, bits + 1];
            numbers.extend(near.map(f32::from_bits));
        }
    }
    let negative: Vec<_> = numbers.iter().map(|number| -number).collect();
    numbers.extend(negative);
    numbers
}

/// Every number is rounded to the nearest half, by this text.
pub fn check_pack(element: Element, text: &str) -> Result<(), String> {
    let numbers = numbers(element);
    let bits: Vec<u32> = numbers.iter().map(|number| number.to_bits()).collect();
    let body = "results[i] = pack(bitcast<vec2<f32>>(source[i]));";
    let len = numbers.len() as u64 / 2;
    let words = run(text, ("vec2<u32>", &bits), ("u32", len), body);
    let stored = halves_of_words(&words, numbers.len());
    for (number, stored) in numbers.iter().zip(stored) {
        let (bits, wanted) = (number.to_bits(), half_bits(element, *number));
        if stored != wanted {
            return Err(format!(
                "{element:?}: {number:?} ({bits:#x}) is stored as {stored:#06x}, not {wanted:#06x}"
            ));
        }
    }
    Ok(())
}
