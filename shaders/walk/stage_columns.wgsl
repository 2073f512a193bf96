// Stage, channels contiguous: a column is a group of channels, or two, whose coefficients serve all rows of the unit.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let at = starts();
    let step = TEAM_ROWS * params.row_stride;
    let begin = work.start + work.row * params.row_stride;
    let end = work.start + work.row_end * params.row_stride;
    var column = work.column;
    // Two accesses of a row in flight. Where rows are a multiple of 4 KiB apart, a processor mistakes a load for the
    // store to the row before while that is on its way: two columns put enough stores between, and of more
    // a processor's cache of decoded instructions would not hold the loop. A GPU has no registers for two columns' coefficients.
    for (; PAIRS && !SHARED && column + TEAM_COLUMNS < work.column_end; column += 2u * TEAM_COLUMNS) {
        let c0 = coefficients_of(params.first_column + column);
        let c1 = coefficients_of(params.first_column + column + TEAM_COLUMNS);
        for (var i = begin + column; i < end; i += step) {
            let x0 = load(at, i);
            let x1 = load(at, i + TEAM_COLUMNS);
            store(at, i, x0, c0);
            store(at, i + TEAM_COLUMNS, x1, c1);
        }
    }
    // two accesses of a column in flight
    for (; column < work.column_end; column += TEAM_COLUMNS) {
        let c = coefficients_of(params.first_column + column);
        var i = begin + column;
        for (; PAIRS && i + step < end; i += 2u * step) {
            let x0 = load(at, i);
            let x1 = load(at, i + step);
            store(at, i, x0, c);
            store(at, i + step, x1, c);
        }
        for (; i < end; i += step) {
            store(at, i, load(at, i), c);
        }
    }
}
