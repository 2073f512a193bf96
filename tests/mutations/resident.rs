//! Edits of the kernels that hold a unit in registers.

use crate::inputs::Input::{Columns, Gradients, GradientsFarOff, Rows, RowsBadFrame, RowsFarOff};
use crate::inputs::Layout;
use crate::inputs::Path::{Resident, ResidentSubgroups};
use crate::{assert_noticed, edit};

#[test]
fn what_a_lane_holds_matters() {
    assert_noticed(&[
        // beyond the unit
        edit(
            Rows(Resident),
            "work.row + (HELD_ROWS - 1u) * TEAM_ROWS < work.row_end",
            "true",
        ),
        edit(
            Rows(Resident),
            "work.column + (HELD_COLUMNS - 1u) * TEAM_COLUMNS < work.column_end",
            "true",
        ),
        edit(
            Columns(Resident),
            "work.row + (HELD_ROWS - 1u) * TEAM_ROWS < work.row_end",
            "true",
        ),
        edit(
            Columns(Resident),
            "k / HELD_COLUMNS + 1u < HELD_ROWS || reach.last_row",
            "reach.last_row",
        ),
        edit(
            Rows(Resident),
            "k % HELD_COLUMNS + 1u < HELD_COLUMNS || reach.last_column",
            "reach.last_column",
        ),
        edit(Rows(Resident), "return row && column;", "return row;"),
        edit(Columns(Resident), "return row && column;", "return column;"),
        edit(Columns(Resident), "if work.valid {", "if true {"),
        // where accesses are
        edit(Columns(Resident), "k / HELD_COLUMNS * reach.row_step", "0u"),
        edit(
            Rows(Resident),
            "k % HELD_COLUMNS * TEAM_COLUMNS",
            "k % HELD_COLUMNS",
        ),
        edit(
            Rows(Resident),
            "select(reach.unit, index_of(reach, k), is_own(reach, k))",
            "reach.unit",
        ),
        // each of them
        edit(Rows(Resident), "    hold(share, 8u);\n", ""),
        edit(Rows(Resident), "    add(share, 0u);\n", ""),
        edit(Columns(Resident), "    write(share, 6u);\n", ""),
        edit(
            Gradients(Layout::Columns, Resident),
            "    add(share, 6u);\n",
            "",
        ),
    ]);
}

#[test]
fn moments_of_what_is_held_matter() {
    assert_noticed(&[
        edit(
            Rows(Resident),
            "(HELD_ROWS - 1u + u32(reach.last_row))",
            "HELD_ROWS",
        ),
        edit(
            Rows(Resident),
            "(HELD_COLUMNS - 1u + u32(reach.last_column))",
            "HELD_COLUMNS",
        ),
        edit(Columns(Resident), "(WIDTH / CHANNELS)", "WIDTH"),
        // lanes that hold nothing
        edit(Rows(Resident), "if accesses == 0u", "if accesses == 1000u"),
        // the mean first, and then the deviations from it
        edit(
            RowsBadFrame,
            "opaque(frame + fold((*share).sum) / f32(count))",
            "frame",
        ),
        edit(
            RowsFarOff(Resident),
            "(*share).center = frame;",
            "(*share).center = M(0.0);",
        ),
        edit(Rows(Resident), "(*share).center = center;", ""),
        edit(Rows(Resident), "(*share).sum = V(0.0);", ""),
        edit(Rows(Resident), "(*share).squares = V(0.0);", ""),
        edit(Rows(Resident), "(*share).squares += a * a;", ""),
        edit(
            Rows(Resident),
            "- (*share).center, is_own((*share).reach, k)",
            "- (*share).center, true",
        ),
        edit(
            Rows(Resident),
            "combine(invocation, moments_of_share(&share, origin))",
            "moments_of_share(&share, origin)",
        ),
        edit(
            Rows(ResidentSubgroups),
            "combine(invocation, moments_of_share(&share, origin))",
            "moments_of_share(&share, origin)",
        ),
        edit(
            Columns(Resident),
            "(*share).held[k], (*share).coefficients",
            "(*share).held[0], (*share).coefficients",
        ),
    ]);
}

#[test]
fn gradients_of_what_is_held_matter() {
    let rows = || Gradients(Layout::Rows, Resident);
    assert_noticed(&[
        edit(rows(), "select(V(0.0), g, is_own((*share).reach, k))", "g"),
        edit(
            GradientsFarOff(Resident),
            "own * (loaded.x - c.mean)",
            "own * loaded.x",
        ),
        edit(
            GradientsFarOff(Resident),
            "(*share).g[k] = g;",
            "(*share).g[k] = loaded.dy;",
        ),
        edit(rows(), "fold(share.products)", "fold(share.sum)"),
        edit(rows(), "Gathered(fold(share.sum)", "Gathered(M(0.0)"),
        edit(
            rows(),
            "combine(invocation, Gathered(fold(share.sum), fold(share.products)))",
            "Gathered(fold(share.sum), fold(share.products))",
        ),
        edit(
            rows(),
            "share.coefficients = spread(finalize(",
            "let after = spread(finalize(",
        ),
        edit(
            rows(),
            "(*share).held[k].x, (*share).g[k]",
            "(*share).held[0].x, (*share).g[k]",
        ),
        edit(
            rows(),
            "(*share).held[k].x, (*share).g[k]",
            "(*share).held[k].x, (*share).g[0]",
        ),
        edit(
            Gradients(Layout::Columns, Resident),
            "if work.valid {",
            "if true {",
        ),
        edit(
            GradientsFarOff(Resident),
            "share.coefficients = spread(forward_coefficients(work.group));",
            "share.coefficients = Coefficients();",
        ),
    ]);
}
