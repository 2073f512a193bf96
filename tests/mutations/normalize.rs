//! Edits of the normalize stage.

use crate::inputs::Input::{
    Columns, ColumnsInference, QuadsInference, Rows, RowsFarOff, RowsInference, RowsOutlier,
};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn normalize_matters() {
    assert_noticed(&[
        // the mean folded into the shift
        edit(
            RowsFarOff(Whole),
            "(x - coefficients.mean) * coefficients.scale + coefficients.shift",
            "x * coefficients.scale + (coefficients.shift - coefficients.mean * coefficients.scale)",
        ),
        edit(
            Rows(Whole),
            "* coefficients.scale + coefficients.shift",
            "* coefficients.scale",
        ),
        // coefficients of the stage before, of given statistics
        edit(
            Rows(Split),
            "load_coefficients(1u, group), load_coefficients(2u, group)",
            "load_coefficients(2u, group), load_coefficients(1u, group)",
        ),
        edit(
            RowsInference,
            "Coefficients(load_mean(group), scale, load_beta(group))",
            "Coefficients(load_mean(group), load_beta(group), scale)",
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
        edit(
            RowsInference,
            "coefficients(work.group)",
            "coefficients(0u)",
        ),
        edit(
            QuadsInference,
            "coefficients(work.group)",
            "coefficients(0u)",
        ),
        // by rows: the second of two accesses, the last of an odd number
        edit(
            RowsOutlier(Whole),
            "store_y(y + i + step, apply(b, coefficients));",
            "",
        ),
        edit(RowsInference, "if i < end", "if i > end"),
        edit(RowsInference, "row += TEAM_ROWS", "row += 2u * TEAM_ROWS"),
        edit(
            Rows(Whole),
            "let y = work.y - work.x;",
            "let y = work.y - work.x + 1u;",
        ),
        // by columns, fused
        edit(
            Columns(Whole),
            "store_y(y + i + 3u * j, apply(d, coefficients));",
            "",
        ),
        edit(
            Columns(Whole),
            "store_y(y + i + 2u * j, apply(c, coefficients));",
            "store_y(y + i + 2u * j, apply(b, coefficients));",
        ),
        edit(
            Columns(Whole),
            "store_y(y + i, apply(load_x(i), coefficients));",
            "",
        ),
        // by columns, on their own
        edit(
            ColumnsInference,
            "coefficients(params.first_column + column + TEAM_COLUMNS)",
            "coefficients(params.first_column + column)",
        ),
        edit(
            ColumnsInference,
            "let c = coefficients(params.first_column + column);",
            "let c = coefficients(0u);",
        ),
        edit(
            ColumnsInference,
            "store_y(y + i + 3u * TEAM_COLUMNS, apply(x3, c3));",
            "store_y(y + i + 3u * TEAM_COLUMNS, apply(x3, c2));",
        ),
        edit(ColumnsInference, "store_y(y + i + step, apply(x1, c));", ""),
        edit(ColumnsInference, "if i < end", "if i > end"),
        edit(
            ColumnsInference,
            "for (; column < work.column_end; column += TEAM_COLUMNS)",
            "for (; column < work.column_end; column += 2u * TEAM_COLUMNS)",
        ),
    ]);
}
