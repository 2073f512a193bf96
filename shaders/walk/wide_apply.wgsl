// Goes over a lane's four groups row by row. Four stores between a load and the store to the row before: see
// stage_columns.wgsl.
fn apply_four(work: Work, start: u32, a: Channel, b: Channel, c: Channel, d: Channel) {
    let at = starts();
    let c0 = spread(a);
    let c1 = spread(b);
    let c2 = spread(c);
    let c3 = spread(d);
    let step = params.row_stride;
    let end = start + work.row_end * step;
    for (var i = start + work.row_begin * step; i < end; i += step) {
        let x0 = load(at, i);
        let x1 = load(at, i + APART);
        let x2 = load(at, i + 2u * APART);
        let x3 = load(at, i + 3u * APART);
        store(at, i, x0, c0);
        store(at, i + APART, x1, c1);
        store(at, i + 2u * APART, x2, c2);
        store(at, i + 3u * APART, x3, c3);
    }
}
