//! Edits of what quads and planes share accesses by.

use crate::inputs::Input::{
    Planes, PlanesWindows, QuadRuns, QuadRunsApart, Quads, QuadsApart, QuadsNarrow, QuadsWide,
};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn quads_matter() {
    assert_noticed(&[
        // which accesses are a channel's
        edit(
            Quads(Whole),
            "params.columns / 2u * 2u",
            "params.columns / 2u",
        ),
        edit(
            Quads(Whole),
            "params.columns + 7u) / 8u * 2u",
            "params.columns) / 8u * 2u",
        ),
        edit(Quads(Whole), "k * params.columns % 8u", "0u"),
        edit(
            Quads(Whole),
            "select(params.columns, 0u, begin == 0u)",
            "params.columns",
        ),
        edit(Quads(Whole), "FIRST - begin", "FIRST"),
        edit(QuadsWide, "SECOND - begin", "SECOND"),
        edit(
            QuadsNarrow,
            "SECOND - begin < vec4(count)",
            "(SECOND >= vec4(begin)) & vec4(count > 0u)",
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
        edit(Quads(Whole), "FIRST < vec4(left)", "FIRST <= vec4(left)"),
        edit(QuadsWide, "SECOND < vec4(left)", "SECOND <= vec4(left)"),
        edit(Quads(Whole), "left -= 8u;", ""),
        edit(
            QuadsWide,
            "channel.sum += own_a + own_b;",
            "channel.sum += own_a;",
        ),
        edit(
            QuadsWide,
            "channel.squares += own_a * own_a + own_b * own_b;",
            "channel.squares += own_a * own_a;",
        ),
        edit(Quads(Split), "(*sums).sum += deviation;", ""),
        edit(
            Quads(Split),
            "(*sums).squares += deviation * deviation;",
            "(*sums).squares += deviation;",
        ),
        edit(Quads(Split), "(*sums).sum.w += sum4(last);", ""),
        edit(Quads(Split), "(*sums).squares.w += sum4(last * last);", ""),
        edit(Quads(Whole), "(stop - row) * params.columns", "stop - row"),
        edit(
            Quads(Split),
            "return (v.x + v.y) + (v.z + v.w);",
            "return (v.x + v.y) + v.z;",
        ),
        edit(
            Quads(Whole),
            "component(center, k)",
            "component(center, 0u)",
        ),
        // normalizing
        edit(
            Quads(Whole),
            "by_position(c.shift, position)",
            "by_position(c.scale, position)",
        ),
        edit(QuadsWide, "store(at, i + 1u, b,", "store(at, i + 1u, a,"),
        edit(
            Quads(Whole),
            "position >= vec4(params.columns * 2u)",
            "position > vec4(params.columns * 2u)",
        ),
    ]);
}

#[test]
fn moments_of_quads_one_after_another_matter() {
    assert_noticed(&[
        edit(QuadRuns, "params.channels / CHANNELS", "params.channels"),
        edit(
            QuadRunsApart,
            "let first = load_x(at, i);",
            "let first = load_x(at, start);",
        ),
        edit(
            QuadRuns,
            "ChannelSums(first - center,",
            "ChannelSums(V(0.0),",
        ),
        edit(
            QuadRuns,
            "(first - center) * (first - center)",
            "(first - center)",
        ),
        edit(
            QuadRuns,
            "positions + quarter.before >= vec4(4u)",
            "positions + quarter.before > vec4(4u)",
        ),
        edit(QuadRuns, "first_whole * 4u - begin", "0u"),
        edit(QuadRuns, "i += 1u; i < end", "i += 2u; i < end"),
        edit(QuadRuns, "channel.sum += a;", ""),
        edit(QuadRuns, "channel.squares += a * a;", ""),
        edit(
            QuadRuns,
            "positions < vec4(quarter.after)",
            "positions <= vec4(quarter.after)",
        ),
        edit(QuadRuns, "if quarter.after > 0u", "if quarter.after > 1u"),
        edit(QuadRuns, "(*sums).sum += a;", ""),
        edit(QuadRuns, "(*sums).squares += a * a;", ""),
        edit(
            QuadRunsApart,
            "with_channel(centers, k, center)",
            "with_channel(centers, 0u, center)",
        ),
        edit(
            QuadRuns,
            "with_channel(squares, k,",
            "with_channel(squares, 0u,",
        ),
        edit(
            QuadRuns,
            "moments_about(centers, centers, params.columns,",
            "moments_about(centers, centers, 4u,",
        ),
        edit(
            QuadRuns,
            "finish(row, row.group, centers",
            "finish(row, 0u, centers",
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
