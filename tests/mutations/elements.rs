//! Edits of how halves are stored.

use wgpu_batchnorm::Element::{Bf16, F16};

use crate::inputs::Input::{Halves, OddHalves, OddHalvesWindows, Pack, Unpack};
use crate::{assert_noticed, edit};

#[test]
fn roundings_to_halves_matter() {
    assert_noticed(&[
        edit(Unpack(Bf16), "word << 16u", "word << 15u"),
        edit(Unpack(Bf16), "word & 0xffff0000u", "word"),
        edit(
            Unpack(F16),
            "unpack2x16float(word)",
            "unpack2x16float(word).yx",
        ),
        edit(
            Pack(Bf16),
            "(((bits >> vec2(16u)) & vec2(1u)) + 0x7fffu)",
            "vec2(0x7fffu)",
        ),
        edit(Pack(Bf16), "& vec2(1u)) + 0x7fffu)", "& vec2(1u)))"),
        edit(Pack(Bf16), "bits | vec2(0x00400000u), nan", "bits, nan"),
        edit(Pack(Bf16), "> vec2(0x7f800000i)", ">= vec2(0x7f800000i)"),
        edit(Pack(Bf16), "(half.y & 0xffff0000u)", "half.y"),
        edit(
            Pack(F16),
            "magnitude + even + 0xc8000fffu",
            "magnitude + 0xc8000fffu",
        ),
        edit(Pack(F16), "0xc8000fffu", "0xc8000ffeu"),
        edit(
            Pack(F16),
            ">> vec2(13u), vec2(0x7c00u))",
            ">> vec2(13u), vec2(0x7bffu))",
        ),
        edit(Pack(F16), "+ 0.5)", "+ 0.25)"),
        edit(Pack(F16), "- 0x3f000000u", "- 0x3effffffu"),
        edit(Pack(F16), "< vec2(0x38800000i)", "< vec2(0x38000000i)"),
        edit(Pack(F16), "vec2(0x7e00u) |", "vec2(0x7c00u) |"),
        edit(Pack(F16), "& vec2(0x3ffu)", "& vec2(0u)"),
        edit(Pack(F16), "> vec2(0x7f800000i)", ">= vec2(0x7f800000i)"),
        edit(Pack(F16), "& 0x8000u", "& 0u"),
        edit(Pack(F16), "& 0x80000000u", "& 0u"),
        edit(Pack(F16), "(half.y << 16u)", "half.y"),
    ]);
}

#[test]
fn words_of_halves_matter() {
    assert_noticed(&[
        edit(
            Halves(F16),
            "unpack(words.x), unpack(words.y)",
            "unpack(words.x), unpack(words.x)",
        ),
        edit(
            Halves(Bf16),
            "unpack(words.x), unpack(words.y)",
            "unpack(words.y), unpack(words.x)",
        ),
        edit(
            Halves(F16),
            "pack(sum.xy), pack(sum.zw)",
            "pack(sum.xy), pack(sum.xy)",
        ),
        edit(OddHalves(F16), "2u * i + 1u == params.values", "false"),
        edit(
            OddHalves(F16),
            "if work.row >= work.row_end",
            "if !work.valid",
        ),
        edit(OddHalves(Bf16), "position + 1u == params.inner", "false"),
        edit(
            OddHalves(F16),
            "first / params.inner) % params.channels",
            "first / params.inner) % 5000u",
        ),
        edit(
            OddHalves(F16),
            "select(channel + 1u, 0u, channel + 1u == params.channels)",
            "channel + 1u",
        ),
        edit(OddHalvesWindows, "position += values_on;", ""),
        edit(
            OddHalvesWindows,
            "position -= select(0u, params.inner, over);",
            "",
        ),
        edit(OddHalvesWindows, "channels_on + u32(over)", "channels_on"),
        edit(OddHalvesWindows, "channels_on + u32(over)", "u32(over)"),
        edit(
            OddHalvesWindows,
            "channel -= select(0u, params.channels, channel >= params.channels);",
            "",
        ),
        edit(OddHalvesWindows, "if on > 0u {", "if on > 1u {"),
        edit(OddHalves(F16), "vec2(false, true)", "vec2(true, false)"),
        edit(OddHalves(F16), "load_grad_input(at, i) + v", "v"),
        edit(
            OddHalvesWindows,
            "params.first_value + 2u * work.column",
            "2u * work.column",
        ),
        edit(
            OddHalvesWindows,
            "(params.first_channel + first / params.inner)",
            "(first / params.inner)",
        ),
        edit(OddHalvesWindows, "at.first_bit + i * WIDTH", "i * WIDTH"),
    ]);
}
