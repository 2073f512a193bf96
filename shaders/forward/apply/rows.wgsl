// Normalizes, inner contiguous: two accesses in flight.
fn normalize(work: Work, coefficients: Coefficients) {
    let step = TEAM_COLUMNS;
    let y = work.y - work.x;
    for (var row = work.row; row < work.row_end; row += TEAM_ROWS) {
        let start = work.x + row * params.row_stride;
        let end = start + work.column_end;
        var i = start + work.column;
        for (; i + step < end; i += 2u * step) {
            let a = load_x(i);
            let b = load_x(i + step);
            store_y(y + i, apply(a, coefficients));
            store_y(y + i + step, apply(b, coefficients));
        }
        if i < end {
            store_y(y + i, apply(load_x(i), coefficients));
        }
    }
}
