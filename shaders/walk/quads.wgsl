// Goes over quads along their rows, two accesses in flight; the coefficients of each are chosen by its place in the row.
fn apply(work: Work, channel: Channel) {
    let at = starts();
    for (var row = work.row; row < work.row_end; row++) {
        var i = work.start + row * params.row_stride;
        let end = i + params.columns;
        var position = vec4(0u, 1u, 2u, 3u);
        for (; i + 1u < end; i += 2u) {
            let a = load(at, i);
            let b = load(at, i + 1u);
            store(at, i, a, spread_positions(channel, position));
            store(at, i + 1u, b, spread_positions(channel, position + 4u));
            position += 8u;
        }
        if i < end {
            store(at, i, load(at, i), spread_positions(channel, position));
        }
    }
}
