// Along the rows, two at a time: stores a row apart are slow.
fn normalize(work: Work, coefficients: Coefficients) {
    let y = work.y - work.x;
    for (var row = work.row; row < work.row_end; row += 2u) {
        let i = work.x + row * params.row_stride;
        let pair = row + 1u < work.row_end;
        for (var column = 0u; column < params.columns; column++) {
            let mean = spread(coefficients.mean, column);
            let scale = spread(coefficients.scale, column);
            let shift = spread(coefficients.shift, column);
            store_y(y + i + column, (load_x(i + column) - mean) * scale + shift);
            if pair {
                let j = i + params.row_stride + column;
                store_y(y + j, (load_x(j) - mean) * scale + shift);
            }
        }
    }
}
