// Where a lane works.
//
// A tensor (or the window of it that is bound) is `groups` groups of CHANNELS neighbouring channels; a group is rows of
// `columns` accesses, `row_stride` accesses apart. A unit of work is a group or, where groups alone are too few, a split
// of one. The lanes of a workgroup are units x rows x columns: `units_across` neighbouring units, each walked by
// `team_rows` x `team_columns` lanes.

struct Work {
    // Lanes beyond the last unit walk no rows and write nothing, but take part in barriers.
    valid: bool,
    // The first lane of a unit writes what there is one of.
    leads: bool,
    group: u32,
    split: u32,
    // Where the group's values start in the bindings of x and y.
    x: u32,
    y: u32,
    row_begin: u32,
    row_end: u32,
    column_begin: u32,
    column_end: u32,
    // This lane's first row and column; it goes on by `team_rows` and `team_columns`.
    row: u32,
    column: u32,
}

fn locate(lane: u32, workgroup: vec3<u32>) -> Work {
    let number = params.first_workgroup + workgroup.x + workgroup.y * params.grid_width;
    let index = number * params.units_across + lane % params.units_across;
    let unit = min(index, params.units - 1u);
    let group = unit % params.groups;
    let split = unit / params.groups;
    let team_lane = lane / params.units_across;

    var work: Work;
    work.valid = index < params.units;
    work.leads = work.valid && team_lane == 0u;
    work.group = params.first_group + group;
    work.split = params.first_split + split;
    work.x = params.x + group * params.group_stride;
    work.y = params.y + group * params.group_stride;
    work.row_begin = split / params.column_splits * params.split_rows;
    work.row_end = min(params.rows, work.row_begin + params.split_rows);
    work.column_begin = split % params.column_splits * params.split_columns;
    work.column_end = min(params.columns, work.column_begin + params.split_columns);
    work.row = select(work.row_end, work.row_begin + team_lane / params.team_columns, work.valid);
    work.column = work.column_begin + team_lane % params.team_columns;
    return work;
}
