// Normalizes, inner contiguous: two accesses in flight.
fn normalize(work: Work, coefficients: Coefficients) {
    let step = params.team_columns;
    let y = work.y - work.x;
    for (var row = work.row; row < work.row_end; row += params.team_rows) {
        let start = work.x + row * params.row_stride;
        let end = start + work.column_end;
        var i = start + work.column;
        for (; i + step < end; i += 2u * step) {
            let a = load_x(i);
            let b = load_x(i + step);
            store_y(y + i, (a - coefficients.mean) * coefficients.scale + coefficients.shift);
            store_y(y + i + step, (b - coefficients.mean) * coefficients.scale + coefficients.shift);
        }
        if i < end {
            store_y(y + i, (load_x(i) - coefficients.mean) * coefficients.scale + coefficients.shift);
        }
    }
}
