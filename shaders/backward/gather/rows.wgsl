// Sums, inner contiguous (channels-first): a unit is one channel, or a split of it; a row is a run of its values.
fn gather(work: Work, channel: Channel) -> Gathered {
    let at = starts();
    let c = spread(channel);
    let step = TEAM_COLUMNS;
    let row_stride = params.row_stride;
    let block = params.block;
    var tally = Tally();
    var sum = V(0.0);
    var products = V(0.0);
    var count = 0u;
    for (var row = work.row; row < work.row_end; row += TEAM_ROWS) {
        let end = work.start + row * row_stride + work.column_end;
        var i = work.start + row * row_stride + work.column;
        while i < end {
            let stop = min(end, i + block * step);
            count += (stop - i + step - 1u) / step;
            // two accesses in flight
            for (; SUMS_IN_PAIRS && i + step < stop; i += 2u * step) {
                let a = load(at, i);
                let b = load(at, i + step);
                add_pair(&sum, &products, a, b, c);
            }
            // one is left at most, but for accesses that go one by one
            if SUMS_IN_PAIRS {
                if i < stop {
                    add(&sum, &products, load(at, i), c);
                    i += step;
                }
            } else {
                for (; i < stop; i += step) {
                    add(&sum, &products, load(at, i), c);
                }
            }
            if count >= block {
                absorb(&tally, Gathered(fold(sum), fold(products)));
                sum = V(0.0);
                products = V(0.0);
                count = 0u;
            }
        }
    }
    absorb(&tally, Gathered(fold(sum), fold(products)));
    return sums_of(tally);
}
