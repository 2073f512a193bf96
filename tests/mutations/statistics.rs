//! Edits of the statistics stage.

use crate::inputs::Input::{
    Columns, ColumnsFarOff, ColumnsOutlier, ColumnsSplitTeams, Rows, RowsFarOff, RowsOutlier, Runs,
    Windows,
};
use crate::inputs::Path::{Split, Whole, Workgroup};
use crate::{assert_noticed, edit};

#[test]
fn frames_matter() {
    assert_noticed(&[
        // frames
        edit(
            RowsOutlier(Whole),
            "load_x_value(at, work.start + middle, 0u)",
            "load_x_value(at, work.start + first, 0u)",
        ),
        edit(
            RowsOutlier(Whole),
            "load_x_value(at, work.start + last, WIDTH - 1u)",
            "load_x_value(at, work.start + first, 0u)",
        ),
        edit(
            ColumnsOutlier(Whole),
            "load_x(at, work.start + middle * params.row_stride)",
            "load_x(at, work.start + first * params.row_stride)",
        ),
        edit(
            ColumnsOutlier(Whole),
            "load_x(at, work.start + last * params.row_stride)",
            "load_x(at, work.start + first * params.row_stride)",
        ),
    ]);
}

#[test]
fn statistics_by_rows_matter() {
    assert_noticed(&[
        // sums by rows, their tails and their counts
        edit(Rows(Whole), "*sum += a + b;", "*sum += a;"),
        edit(
            Rows(Whole),
            "*squares += a * a + b * b;",
            "*squares += a * a;",
        ),
        edit(
            Rows(Whole),
            "count += (stop - i + step - 1u) / step;",
            "count += (stop - i) / step + 1u;",
        ),
        edit(RowsOutlier(Whole), "count * WIDTH", "count"),
        edit(Rows(Whole), "if count > 0u", "if count > 1000u"),
        edit(Rows(Whole), "let a = x0 - center;", "let a = x0;"),
        edit(Rows(Whole), "let a = x - center;", "let a = x;"),
        edit(
            Rows(Split),
            "i = work.start + row * row_stride + work.column;",
            "i = work.start + row * row_stride;",
        ),
        edit(
            RowsFarOff(Whole),
            "center = tally.center;",
            "center = frame + 1.0;",
        ),
    ]);
}

#[test]
fn statistics_along_memory_matter() {
    assert_noticed(&[
        edit(Runs, "gather(row, origin)", "gather(row, 0.0)"),
        edit(Runs, "finish(row, row.group", "finish(row, 0u"),
        edit(Runs, "one.split += 1u;", ""),
        edit(
            Runs,
            "params.first_split + work.row / groups",
            "params.first_split",
        ),
    ]);
}

#[test]
fn statistics_by_columns_matter() {
    assert_noticed(&[
        // by columns
        edit(Columns(Workgroup), "sum += b;", ""),
        edit(Columns(Workgroup), "squares += b * b;", ""),
        edit(
            Columns(Whole),
            "load_x(at, i + 3u * step) - center",
            "load_x(at, i + 2u * step) - center",
        ),
        edit(
            Columns(Whole),
            "sum += (a + b) + (c + d);",
            "sum += (a + b) + c;",
        ),
        edit(Columns(Whole), "(c * c + d * d)", "c * c"),
        edit(
            Columns(Whole),
            "for (; i < end; i += step)",
            "for (; i + step < end; i += step)",
        ),
        edit(
            Columns(Whole),
            "row += count * TEAM_ROWS;",
            "row += count * TEAM_ROWS + 1u;",
        ),
        edit(
            ColumnsFarOff(Whole),
            "let center = tally.center;",
            "let center = frame;",
        ),
    ]);
}

#[test]
fn partials_matter() {
    assert_noticed(&[
        // what partials say, and of whom
        edit(Windows, "+ k - params.first_channel", "+ k"),
        edit(
            Rows(Split),
            "work.split * params.channels + channel",
            "channel",
        ),
        edit(
            Columns(Split),
            "component(frame, k)",
            "component(frame, 0u)",
        ),
        edit(
            Columns(Split),
            "component(moments.mean, k)",
            "component(moments.mean, 0u)",
        ),
        edit(
            Columns(Split),
            "component(moments.m2, k)",
            "component(moments.m2, 0u)",
        ),
        edit(Rows(Split), "moments.count,", "1u,"),
        edit(Rows(Split), "if !work.leads", "if work.leads"),
        // combining is forgotten
        edit(
            Rows(Workgroup),
            "combine(invocation, gather(work, origin))",
            "gather(work, origin)",
        ),
        edit(
            ColumnsSplitTeams,
            "combine(invocation, gather(work, origin))",
            "gather(work, origin)",
        ),
    ]);
}
