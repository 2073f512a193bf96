// Normalizes, channels contiguous: a lane keeps the coefficients of its channels down the rows.
fn normalize(work: Work, coefficients: Coefficients) {
    let step = params.team_rows;
    let y = work.y - work.x;
    var row = work.row;
    for (; row + 3u * step < work.row_end; row += 4u * step) {
        let i = work.x + row * params.row_stride;
        let j = step * params.row_stride;
        let a = load_x(i);
        let b = load_x(i + j);
        let c = load_x(i + 2u * j);
        let d = load_x(i + 3u * j);
        store_y(y + i, (a - coefficients.mean) * coefficients.scale + coefficients.shift);
        store_y(y + i + j, (b - coefficients.mean) * coefficients.scale + coefficients.shift);
        store_y(y + i + 2u * j, (c - coefficients.mean) * coefficients.scale + coefficients.shift);
        store_y(y + i + 3u * j, (d - coefficients.mean) * coefficients.scale + coefficients.shift);
    }
    for (; row < work.row_end; row += step) {
        let i = work.x + row * params.row_stride;
        store_y(y + i, (load_x(i) - coefficients.mean) * coefficients.scale + coefficients.shift);
    }
}
