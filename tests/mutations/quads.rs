//! Edits of what quads and planes share accesses by.

use crate::inputs::Input::{Planes, PlanesWindows, Quads, QuadsApart, QuadsWide};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn quads_matter() {
    assert_noticed(&[
        // which accesses are a channel's
        edit(Quads(Whole), "(begin + 3u) / 4u", "begin / 4u"),
        edit(
            Quads(Whole),
            "end / 4u, begin % 4u, end % 4u",
            "end / 4u, 0u, end % 4u",
        ),
        edit(
            Quads(Whole),
            "end / 4u, begin % 4u, end % 4u",
            "end / 4u, begin % 4u, 0u",
        ),
        edit(
            Quads(Whole),
            "return 4u + params.zero;",
            "return 3u + params.zero;",
        ),
        edit(
            Quads(Whole),
            "vec4(0u, 1u, 2u, 3u) == vec4(k)",
            "vec4(0u, 1u, 2u, 3u) >= vec4(k + 1u)",
        ),
        // frames
        edit(
            QuadsApart(Whole),
            "vec4(0u, 1u, 2u, 3u) * params.columns + index",
            "vec4(index)",
        ),
        edit(
            QuadsApart(Whole),
            "load_x_value(at, i + access.w, part.w)",
            "load_x_value(at, i + access.x, part.x)",
        ),
        // sums
        edit(
            Quads(Whole),
            "load_x(at, i - 1u) - center, position >= vec4(quarter.before)",
            "load_x(at, i - 1u) - center, position > vec4(quarter.before)",
        ),
        edit(
            Quads(Whole),
            "load_x(at, end) - center, position < vec4(quarter.after)",
            "load_x(at, end) - center, position <= vec4(quarter.after)",
        ),
        edit(QuadsWide, "sums.sum += a + b;", "sums.sum += a;"),
        edit(
            QuadsWide,
            "sums.squares += a * a + b * b;",
            "sums.squares += a * a;",
        ),
        edit(Quads(Split), "add(&sums, load_x(at, i) - center);", ""),
        edit(
            Quads(Split),
            "(*sums).squares += a * a;",
            "(*sums).squares += a;",
        ),
        edit(Quads(Whole), "(stop - row) * params.columns", "stop - row"),
        edit(
            Quads(Split),
            "return (v.x + v.y) + (v.z + v.w);",
            "return (v.x + v.y) + v.z;",
        ),
        edit(
            Quads(Whole),
            "component(tally.center, k)",
            "component(tally.center, 0u)",
        ),
        // normalizing
        edit(
            Quads(Whole),
            "let own = spread_one(channel, k);",
            "let own = spread_one(channel, 0u);",
        ),
        edit(
            Quads(Whole),
            "component(c.shift, k)",
            "component(c.scale, k)",
        ),
        edit(
            QuadsWide,
            "store(at, i + 1u, b, own);",
            "store(at, i + 1u, a, own);",
        ),
        edit(Quads(Whole), "store(at, i, load(at, i), own);", ""),
        edit(
            Quads(Whole),
            "store(at, end, load(at, end), spread_positions(channel, position));",
            "",
        ),
        edit(
            Quads(Whole),
            "+ (end - start) * 4u;",
            "+ (end - start) * 4u + 1u;",
        ),
        edit(
            Quads(Whole),
            "position >= vec4(params.columns * 2u)",
            "position > vec4(params.columns * 2u)",
        ),
    ]);
}

#[test]
fn rows_through_all_channels_matter() {
    assert_noticed(&[
        edit(
            Planes,
            "channel_of(channel + u32(own < WIDTH))",
            "channel_of(channel)",
        ),
        edit(Planes, ">= vec4(own)", "> vec4(own)"),
        edit(
            Planes,
            "(params.first_column + work.column) * WIDTH",
            "(params.first_column + work.column)",
        ),
        edit(
            PlanesWindows,
            "(params.first_column + work.column) * WIDTH",
            "work.column * WIDTH",
        ),
        edit(Planes, "TEAM_COLUMNS * WIDTH / params.inner", "0u"),
        edit(Planes, "TEAM_COLUMNS * WIDTH % params.inner", "0u"),
        edit(Planes, "store(at, i + 3u * step, d, plane);", ""),
        edit(
            Planes,
            "store(at, i + 2u * step, c, plane);",
            "store(at, i + 2u * step, d, plane);",
        ),
        edit(Planes, "store(at, i, load(at, i), plane);", ""),
        edit(Planes, "select(0u, params.inner, over)", "0u"),
        edit(Planes, "channels_on + u32(over)", "channels_on"),
        edit(
            Planes,
            "row += select(1u, 4u * TEAM_ROWS, four);",
            "row += 4u * TEAM_ROWS;",
        ),
    ]);
}
