// Goes over a unit, channels contiguous: a lane keeps the coefficients of its channels down the rows.
fn apply(work: Work, channel: Channel) {
    let at = starts();
    let coefficients = spread(channel);
    let step = TEAM_ROWS;
    var row = work.row;
    for (; row + 3u * step < work.row_end; row += 4u * step) {
        let i = work.start + row * params.row_stride;
        let j = step * params.row_stride;
        let a = load(at, i);
        let b = load(at, i + j);
        let c = load(at, i + 2u * j);
        let d = load(at, i + 3u * j);
        store(at, i, a, coefficients);
        store(at, i + j, b, coefficients);
        store(at, i + 2u * j, c, coefficients);
        store(at, i + 3u * j, d, coefficients);
    }
    for (; row < work.row_end; row += step) {
        let i = work.start + row * params.row_stride;
        store(at, i, load(at, i), coefficients);
    }
}
