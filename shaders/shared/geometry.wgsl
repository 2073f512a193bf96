// Where a lane works.
//
// A tensor (or the window of it that is bound) is `groups` groups of CHANNELS neighbouring channels; a group is rows of
// `columns` accesses, `row_stride` accesses apart. A unit of work is a group or, where groups alone are too few, a split
// of one. The lanes of a workgroup are units x rows x columns: UNITS_ACROSS neighbouring units, each walked by
// TEAM_ROWS x TEAM_COLUMNS lanes.

struct Work {
    // Lanes beyond the last unit walk no rows and write nothing, but take part in barriers.
    valid: bool,
    // The first lane of a unit writes what there is one of.
    leads: bool,
    group: u32,
    split: u32,
    // Where the group starts in its tensors' windows.
    start: u32,
    row_begin: u32,
    row_end: u32,
    column_begin: u32,
    column_end: u32,
    // This lane's first row and column; it goes on by TEAM_ROWS and TEAM_COLUMNS.
    row: u32,
    column: u32,
}

fn locate(lane: u32, workgroup: vec3<u32>) -> Work {
    let number = params.first_workgroup + workgroup.x + workgroup.y * params.grid_width;
    let index = number * UNITS_ACROSS + lane % UNITS_ACROSS;
    let unit = min(index, params.units - 1u);
    let group = unit % params.groups;
    let split = unit / params.groups;
    let team_lane = lane / UNITS_ACROSS;

    var work: Work;
    work.valid = index < params.units;
    work.leads = work.valid && team_lane == 0u;
    work.group = params.first_group + group;
    work.split = params.first_split + split;
    work.start = group * params.group_stride;
    work.row_begin = split / params.column_splits * params.split_rows;
    work.row_end = min(params.rows, work.row_begin + params.split_rows);
    work.column_begin = split % params.column_splits * params.split_columns;
    work.column_end = min(params.columns, work.column_begin + params.split_columns);
    work.row = select(work.row_end, work.row_begin + team_lane / TEAM_COLUMNS, work.valid);
    work.column = work.column_begin + team_lane % TEAM_COLUMNS;
    return work;
}
