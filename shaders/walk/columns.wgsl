// Goes over a unit, channels contiguous: a lane keeps the coefficients of its channels down the rows.
fn apply(work: Work, channels: Channels) {
    let at = starts();
    let c = spread(channels);
    let step = TEAM_ROWS * params.row_stride;
    let end = work.start + work.row_end * params.row_stride;
    var i = work.start + work.row * params.row_stride;
    // two accesses in flight
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
