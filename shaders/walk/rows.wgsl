// Goes over a unit, inner contiguous: two accesses in flight.
fn apply(work: Work, channels: Channels) {
    let at = starts();
    let c = spread(channels);
    let step = TEAM_COLUMNS;
    for (var row = work.row; row < work.row_end; row += TEAM_ROWS) {
        let start = work.start + row * params.row_stride;
        let end = start + work.column_end;
        var i = start + work.column;
        for (; PAIRS && i + step < end; i += 2u * step) {
            let a = load(at, i);
            let b = load(at, i + step);
            store(at, i, a, c);
            store(at, i + step, b, c);
        }
        // one is left at most, but for accesses that go one by one
        if PAIRS {
            if i < end {
                store(at, i, load(at, i), c);
            }
        } else {
            for (; i < end; i += step) {
                store(at, i, load(at, i), c);
            }
        }
    }
}
