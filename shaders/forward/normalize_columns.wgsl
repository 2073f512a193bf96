// Stage, channels contiguous: a column is a group of channels, whose coefficients serve all rows of the unit.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let y = work.y - work.x;
    let step = TEAM_ROWS * params.row_stride;
    let begin = work.x + work.row * params.row_stride;
    let end = work.x + work.row_end * params.row_stride;
    var column = work.column;
    // Four accesses of a row in flight. Where rows are a multiple of 4 KiB apart, a processor mistakes a load for the
    // store to the row before while that is on its way: four columns put enough stores between.
    for (; column + 3u * TEAM_COLUMNS < work.column_end; column += 4u * TEAM_COLUMNS) {
        let c0 = coefficients(params.first_column + column);
        let c1 = coefficients(params.first_column + column + TEAM_COLUMNS);
        let c2 = coefficients(params.first_column + column + 2u * TEAM_COLUMNS);
        let c3 = coefficients(params.first_column + column + 3u * TEAM_COLUMNS);
        for (var i = begin + column; i < end; i += step) {
            let x0 = load_x(i);
            let x1 = load_x(i + TEAM_COLUMNS);
            let x2 = load_x(i + 2u * TEAM_COLUMNS);
            let x3 = load_x(i + 3u * TEAM_COLUMNS);
            store_y(y + i, apply(x0, c0));
            store_y(y + i + TEAM_COLUMNS, apply(x1, c1));
            store_y(y + i + 2u * TEAM_COLUMNS, apply(x2, c2));
            store_y(y + i + 3u * TEAM_COLUMNS, apply(x3, c3));
        }
    }
    // two accesses of a column in flight
    for (; column < work.column_end; column += TEAM_COLUMNS) {
        let c = coefficients(params.first_column + column);
        var i = begin + column;
        for (; i + step < end; i += 2u * step) {
            let x0 = load_x(i);
            let x1 = load_x(i + step);
            store_y(y + i, apply(x0, c));
            store_y(y + i + step, apply(x1, c));
        }
        if i < end {
            store_y(y + i, apply(load_x(i), c));
        }
    }
}
