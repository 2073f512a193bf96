// Sums, channels contiguous (channels-last and 2-D): a unit is WIDTH neighbouring channels, or a split of them; a row holds
// one access of each. A lane walks down the rows, so that nothing crosses lanes.
fn gather(work: Work, channel: Channel) -> Gathered {
    let at = starts();
    let c = spread(channel);
    let step = TEAM_ROWS * params.row_stride;
    var tally = Tally();
    var row = work.row;
    var i = work.start + row * params.row_stride;
    while row < work.row_end {
        let left = (work.row_end - row + TEAM_ROWS - 1u) / TEAM_ROWS;
        let count = min(params.block, left);
        let end = i + count * step;
        var sum = V(0.0);
        var products = V(0.0);
        // two accesses in flight
        for (; SUMS_IN_PAIRS && i + step < end; i += 2u * step) {
            let a = load(at, i);
            let b = load(at, i + step);
            add_pair(&sum, &products, a, b, c);
        }
        // one is left at most, but for accesses that go one by one
        if SUMS_IN_PAIRS {
            if i < end {
                add(&sum, &products, load(at, i), c);
                i += step;
            }
        } else {
            for (; i < end; i += step) {
                add(&sum, &products, load(at, i), c);
            }
        }
        absorb(&tally, Gathered(sum, products));
        row += count * TEAM_ROWS;
    }
    return sums_of(tally);
}
