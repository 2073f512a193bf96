//! Edits of how halves are stored.

use wgpu_batchnorm::Element::{Bf16, F16};

use crate::inputs::Input::{
    Halves, OddHalves, OddHalvesWindows, Pack, Unpack, WideFrozen, WideHalves, WideMask,
};
use crate::inputs::Layout::{Columns, ColumnsApart, Rows, Runs, SharedRuns};
use crate::inputs::Path::{Split, Whole};
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

#[test]
fn eight_halves_at_a_time_matter() {
    let rows = WideHalves(Rows, Whole);
    let columns = WideHalves(Columns, Whole);
    assert_noticed(&[
        // either half of an access
        edit(
            rows,
            "unpack4(slot0[at.x + i].zw)",
            "unpack4(slot0[at.x + i].xy)",
        ),
        edit(
            rows,
            "unpack4(slot0[at.x + i].xy)",
            "unpack4(slot0[at.x + i].yx)",
        ),
        edit(rows, "pack(sum.b.xy)", "pack(sum.a.xy)"),
        edit(rows, "pack(sum.a.zw)", "pack(sum.b.zw)"),
        edit(rows, "Loaded(x.b, residual.b)", "Loaded(x.b, residual.a)"),
        edit(rows, "output(loaded.b, c.b)", "output(loaded.a, c.b)"),
        // sums by rows, two accesses and the last of an odd number
        edit(rows, "*sum += a + b;", "*sum += a + a;"),
        edit(rows, "*squares += a * a + b * b;", "*squares += a * a;"),
        edit(rows, "let b = x.b - center;", "let b = x.a - center;"),
        edit(
            rows,
            "add(sum, squares, x1, center);",
            "add(sum, squares, x0, center);",
        ),
        edit(rows, "const WIDTH: u32 = 8u;", "const WIDTH: u32 = 4u;"),
        edit(
            WideFrozen(Runs),
            "Coefficients(V(c.mean), V(c.scale), V(c.shift)), Coefficients(V(c.mean)",
            "Coefficients(V(c.mean), V(c.scale), V(c.shift)), Coefficients(V(c.shift)",
        ),
        // sums by columns: both groups, two accesses and the last of an odd number
        edit(columns, "median(first.b, middle.b, last.b)", "V(1e9)"),
        edit(
            columns,
            "add_pair(&b, x0.b, x1.b, center_b);",
            "add_pair(&b, x0.a, x1.b, center_b);",
        ),
        edit(
            columns,
            "add_pair(&a, x0.a, x1.a, center_a);",
            "add_pair(&a, x0.a, x0.a, center_a);",
        ),
        edit(columns, "add(&a, x.a, center_a);", ""),
        edit(columns, "add(&b, x.b, center_b);", ""),
        edit(
            columns,
            "let center_b = tally_b.center;",
            "let center_b = tally_a.center;",
        ),
        edit(
            columns,
            "frame.b, count, b.sum, b.squares",
            "frame.b, count, a.sum, b.squares",
        ),
        edit(columns, "moments_of(tally_b)", "moments_of(tally_a)"),
        // what becomes of them
        edit(
            columns,
            "finalize(group + 1u, origin.b,",
            "finalize(group, origin.b,",
        ),
        edit(
            columns,
            "apply(work, Channels(a, b))",
            "apply(work, Channels(b, a))",
        ),
        edit(columns, "V(c.b.mean)", "V(c.a.mean)"),
        edit(
            WideHalves(ColumnsApart, Whole),
            "finish(work, group + 1u, origin.b, moments.b);",
            "finish(work, group + 1u, origin.a, moments.a);",
        ),
        edit(
            WideHalves(Columns, Split),
            "finish(work, group, origin.a, moments.a);",
            "",
        ),
        edit(
            WideFrozen(Columns),
            "channel_of(2u * column + 1u)",
            "channel_of(2u * column)",
        ),
        // rows of two channels, and the access that both have
        edit(
            WideFrozen(SharedRuns),
            "vec4(4u, 5u, 6u, 7u) >= vec4(first)",
            "vec4(0u, 1u, 2u, 3u) >= vec4(first)",
        ),
        edit(
            WideFrozen(SharedRuns),
            "select(V(a.scale), V(b.scale), of_b.b)",
            "V(a.scale)",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "return Truths(!values.a, !values.b);",
            "return Truths(!values.a, values.b);",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "select(V(0.0), x.a - center, own.a)",
            "x.a - center",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "select(V(0.0), x.b - center, own.b)",
            "V(0.0)",
        ),
    ]);
}

#[test]
fn gradients_of_eight_halves_at_a_time_matter() {
    let rows = WideHalves(Rows, Whole);
    let columns = WideHalves(Columns, Whole);
    assert_noticed(&[
        // either half of an access
        edit(
            rows,
            "Loaded(x.b, dy.b, evidence.b)",
            "Loaded(x.b, dy.a, evidence.b)",
        ),
        edit(
            rows,
            "Loaded(x.b, dy.b, evidence.b)",
            "Loaded(x.a, dy.b, evidence.b)",
        ),
        edit(
            rows,
            "gradient(loaded.b, c.b));",
            "gradient(loaded.a, c.b));",
        ),
        edit(
            rows,
            "grad_input(loaded.b.x, g.b, c.b)",
            "grad_input(loaded.a.x, g.b, c.b)",
        ),
        edit(WideMask, "vec4(bits >> 4u)", "vec4(bits)"),
        edit(
            WideMask,
            "Access(before.a + v.a, before.b + v.b)",
            "Access(v.a, before.b + v.b)",
        ),
        edit(
            WideMask,
            "Access(before.a + v.a, before.b + v.b)",
            "Access(before.a + v.a, v.b)",
        ),
        // sums by rows
        edit(rows, "*sum += ga + gb;", "*sum += ga;"),
        edit(
            rows,
            "ga * (loaded.a.x - c.a.mean) + gb * (loaded.b.x - c.b.mean)",
            "ga * (loaded.a.x - c.a.mean)",
        ),
        // sums by columns: both groups
        edit(
            columns,
            "add(&a, loaded.a, c.a);",
            "add(&a, loaded.b, c.a);",
        ),
        edit(
            columns,
            "add(&b, loaded.b, c.b);",
            "add(&b, loaded.b, c.a);",
        ),
        edit(columns, "absorb(&tally_b, b);", "absorb(&tally_b, a);"),
        edit(
            columns,
            "sums_of(tally_a), sums_of(tally_b)",
            "sums_of(tally_b), sums_of(tally_a)",
        ),
        edit(
            columns,
            "forward_coefficients(group + 1u)",
            "forward_coefficients(group)",
        ),
        // what becomes of them
        edit(
            columns,
            "finalize(group + 1u, sums.b, work.leads)",
            "finalize(group + 1u, sums.a, work.leads)",
        ),
        edit(
            WideHalves(ColumnsApart, Whole),
            "finish(work, group + 1u, sums.b);",
            "finish(work, group + 1u, sums.a);",
        ),
        edit(
            WideHalves(Columns, Split),
            "finish(work, group, sums.a);",
            "",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "select(V(a.offset), V(b.offset), of_b.a)",
            "V(b.offset)",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "select(V(0.0), ga, own.a)",
            "ga",
        ),
        edit(
            WideHalves(SharedRuns, Split),
            "select(V(0.0), gb * (loaded.b.x - c.b.mean), own.b)",
            "V(0.0)",
        ),
    ]);
}
