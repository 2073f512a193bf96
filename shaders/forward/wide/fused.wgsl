// All stages in one dispatch: a lane's four groups are whole channels, which it normalizes row by row.
fn finish_four(work: Work, x: u32, group: u32, frame: Four, moments: FourMoments) {
    let c0 = finalize(group, frame.a, moments.a, true);
    let c1 = finalize(group + APART, frame.b, moments.b, true);
    let c2 = finalize(group + 2u * APART, frame.c, moments.c, true);
    let c3 = finalize(group + 3u * APART, frame.d, moments.d, true);
    // four stores between a load and the store to the row before: see normalize_columns.wgsl
    let y = work.y - work.x;
    let step = params.row_stride;
    let end = x + work.row_end * step;
    for (var i = x + work.row_begin * step; i < end; i += step) {
        let x0 = load_x(i);
        let x1 = load_x(i + APART);
        let x2 = load_x(i + 2u * APART);
        let x3 = load_x(i + 3u * APART);
        store_y(y + i, apply(x0, c0));
        store_y(y + i + APART, apply(x1, c1));
        store_y(y + i + 2u * APART, apply(x2, c2));
        store_y(y + i + 3u * APART, apply(x3, c3));
    }
}
