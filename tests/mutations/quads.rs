//! Edits of what quads and planes share accesses by.

use crate::inputs::Input::{
    Planes, PlanesWindows, Quads, QuadsApart, QuadsNarrow, QuadsWide, SharedRuns, SharedRunsApart,
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
fn rows_of_channels_that_share_accesses_matter() {
    assert_noticed(&[
        // whose is what
        edit(
            SharedRuns,
            "params.channels / params.row_channels",
            "params.channels",
        ),
        edit(SharedRuns, "(begin + WIDTH - 1u) / WIDTH", "begin / WIDTH"),
        edit(SharedRuns, "first * WIDTH - begin", "0u"),
        edit(
            SharedRuns,
            "first * WIDTH - begin, end % WIDTH",
            "first * WIDTH - begin, 0u",
        ),
        edit(
            SharedRuns,
            "vec4(0u, 1u, 2u, 3u) >= vec4(first)",
            "vec4(0u, 1u, 2u, 3u) > vec4(first)",
        ),
        edit(SharedRuns, "return !values;", "return values;"),
        // moments
        edit(
            SharedRunsApart,
            "let first = load_x(at, i);",
            "let first = load_x(at, start);",
        ),
        edit(
            SharedRuns,
            "add_own(&sum, &squares, shared_access, frame, values_from(WIDTH - part.before));",
            "",
        ),
        edit(SharedRuns, "add(&sum, &squares, first, frame);", ""),
        edit(
            SharedRuns,
            "add_pair(&sum, &squares, a, b, frame);",
            "add_pair(&sum, &squares, a, a, frame);",
        ),
        edit(SharedRuns, "add(&sum, &squares, load_x(at, i), frame);", ""),
        edit(
            SharedRuns,
            "shared_access = load_x(at, end);",
            "shared_access = first;",
        ),
        edit(
            SharedRuns,
            "add_own(&sum, &squares, shared_access, frame, other(values_from(part.after)));",
            "",
        ),
        edit(SharedRuns, "select(V(0.0), x - center, own)", "x - center"),
        edit(
            SharedRuns,
            "frame, params.inner, fold",
            "frame, params.columns / 2u, fold",
        ),
        edit(
            SharedRuns,
            "let channel = row.group * params.row_channels + k;",
            "let channel = row.group * params.row_channels;",
        ),
        // normalizing
        edit(SharedRuns, "channel_of(first_channel)", "channel_of(0u)"),
        edit(
            SharedRuns,
            "channel_of(first_channel + k + 1u)",
            "channel_of(first_channel + k)",
        ),
        edit(
            SharedRuns,
            "blend(own, next, values_from(part.after))",
            "blend(next, own, values_from(part.after))",
        ),
        edit(
            SharedRuns,
            "select(V(a.shift), V(b.shift), of_b)",
            "V(b.shift)",
        ),
        edit(SharedRuns, "own = next;", ""),
        edit(SharedRuns, "store(at, i, load(at, i), c);", ""),
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
