// Normalizes, inner contiguous: two accesses in flight.
fn normalize(work: Work, coefficients: Coefficients) {
    let step = params.team_columns;
    for (var row = work.row; row < work.row_end; row += params.team_rows) {
        let start = work.start + row * params.row_stride;
        var column = work.column;
        for (; column + step < work.column_end; column += 2u * step) {
            let a = load_x(start + column);
            let b = load_x(start + column + step);
            store_y(start + column, (a - coefficients.mean) * coefficients.scale + coefficients.shift);
            store_y(start + column + step, (b - coefficients.mean) * coefficients.scale + coefficients.shift);
        }
        if column < work.column_end {
            let a = load_x(start + column);
            store_y(start + column, (a - coefficients.mean) * coefficients.scale + coefficients.shift);
        }
    }
}
