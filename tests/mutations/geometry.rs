//! Edits of where lanes work.

use crate::inputs::Input::{Columns, ColumnsInference, Grids, Rows, RowsUnaligned, Windows};
use crate::inputs::Path::{Split, Workgroup};
use crate::{assert_noticed, edit};

#[test]
fn the_geometry_matters() {
    assert_noticed(&[
        // wrong workgroup, lane, unit
        edit(Grids, "params.first_workgroup + workgroup.x", "workgroup.x"),
        edit(Grids, "workgroup.y * params.grid_width", "workgroup.y"),
        edit(Grids, "+ lane % UNITS_ACROSS", ""),
        edit(Grids, "unit % params.groups", "unit / params.groups"),
        edit(Rows(Split), "unit / params.groups", "0u"),
        edit(Rows(Workgroup), "lane / UNITS_ACROSS", "0u"),
        // wrong channel, wrong split of windows
        edit(Windows, "params.first_group + group", "group"),
        edit(Windows, "params.first_split + split", "split"),
        // wrong place in the tensors
        edit(RowsUnaligned, "Starts(params.x", "Starts(0u"),
        edit(
            RowsUnaligned,
            "Starts(params.x, params.y",
            "Starts(params.x, params.x",
        ),
        edit(
            Rows(Split),
            "work.start = group * params.group_stride",
            "work.start = 0u",
        ),
        // wrong splits and wrong ends
        edit(
            Rows(Split),
            "split / params.column_splits * params.split_rows",
            "0u",
        ),
        edit(
            Rows(Split),
            "split % params.column_splits * params.split_columns",
            "0u",
        ),
        edit(
            ColumnsInference,
            "min(params.rows, work.row_begin + params.split_rows)",
            "work.row_begin + params.split_rows - 1u",
        ),
        edit(
            Rows(Split),
            "min(params.columns, work.column_begin + params.split_columns)",
            "work.column_begin + params.split_columns",
        ),
        // lanes that do what others do
        edit(
            Columns(Workgroup),
            "work.row_begin + team_lane / TEAM_COLUMNS",
            "work.row_begin",
        ),
        edit(
            Rows(Workgroup),
            "work.column_begin + team_lane % TEAM_COLUMNS",
            "work.column_begin",
        ),
    ]);
}
