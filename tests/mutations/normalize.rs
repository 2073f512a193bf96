//! Edits of the normalize stage.

use crate::inputs::Input::{
    Columns, ColumnsInference, QuadsInference, Rows, RowsFarOff, RowsInference, RowsOutlier,
    RunsInference,
};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn normalize_matters() {
    assert_noticed(&[
        // the mean folded into the shift
        edit(
            RowsFarOff(Whole),
            "(loaded.x - c.mean) * c.scale + c.shift",
            "loaded.x * c.scale + (c.shift - c.mean * c.scale)",
        ),
        edit(Rows(Whole), "* c.scale + c.shift", "* c.scale"),
        // coefficients of the stage before, of given statistics
        edit(
            Rows(Split),
            "params.coefficients + 1u * params.vector_stride",
            "params.coefficients + 2u * params.vector_stride",
        ),
        edit(
            RowsInference,
            "Channel(load_mean(group), scale, load_beta(group))",
            "Channel(load_mean(group), load_beta(group), scale)",
        ),
        edit(
            RowsInference,
            "load_variance(group) + params.epsilon",
            "load_variance(group) + 1e-3",
        ),
        edit(
            RowsInference,
            "load_mean(group), scale",
            "load_variance(group), scale",
        ),
        edit(
            RowsInference,
            "let scale = load_gamma(group) *",
            "let scale = load_beta(group) *",
        ),
        edit(RowsInference, "channel_of(work.group)", "channel_of(0u)"),
        edit(QuadsInference, "channel_of(work.group)", "channel_of(0u)"),
        // row after row
        edit(RunsInference, "channel_of(row.group)", "channel_of(0u)"),
        edit(RunsInference, "work.row % groups", "0u"),
        edit(RunsInference, "one.group == groups", "false"),
        edit(RunsInference, "row + 1u;", "row;"),
        // by rows: the second of two accesses, the last of an odd number
        edit(RowsOutlier(Whole), "store(at, i + step, b, c);", ""),
        edit(RowsInference, "if i < end {", "if i + step < end {"),
        edit(RowsInference, "row += TEAM_ROWS", "row += 2u * TEAM_ROWS"),
        // by columns, fused
        edit(Columns(Whole), "store(at, i + step, x1, c);", ""),
        edit(
            Columns(Whole),
            "store(at, i, x0, c);",
            "store(at, i, x1, c);",
        ),
        edit(Columns(Whole), "store(at, i, load(at, i), c);", ""),
        // by columns, on their own
        edit(
            ColumnsInference,
            "coefficients_of(params.first_column + column + TEAM_COLUMNS)",
            "coefficients_of(params.first_column + column)",
        ),
        edit(
            ColumnsInference,
            "let c = coefficients_of(params.first_column + column);",
            "let c = coefficients_of(0u);",
        ),
        edit(
            ColumnsInference,
            "store(at, i + TEAM_COLUMNS, x1, c1);",
            "store(at, i + TEAM_COLUMNS, x1, c0);",
        ),
        edit(ColumnsInference, "store(at, i + step, x1, c);", ""),
        edit(
            ColumnsInference,
            "for (; i < end; i += step)",
            "for (; i + step < end; i += step)",
        ),
    ]);
}
