// Sums, channels contiguous (channels-last and 2-D), of units that lanes share: as in columns.wgsl, but in one loop. Blocks in a
// loop of their own would take registers for where each ends, of which a GPU has few.
fn gather(work: Work, channel: Channel) -> Gathered {
    let at = starts();
    let c = spread(channel);
    let step = TEAM_ROWS * params.row_stride;
    let end = work.start + work.row_end * params.row_stride;
    var i = work.start + work.row * params.row_stride;
    var tally = Tally();
    var sum = V(0.0);
    var products = V(0.0);
    // counted from the lane's first access, so that blocks end for all lanes at once
    var count = 0u;
    var block_end = params.block;
    // two accesses in flight
    for (; SUMS_IN_PAIRS && i + step < end; i += 2u * step) {
        let a = load(at, i);
        let b = load(at, i + step);
        add_pair(&sum, &products, a, b, c);
        count += 2u;
        if count >= block_end {
            end_block(&tally, &sum, &products);
            block_end += params.block;
        }
    }
    // one is left at most, but for accesses that go one by one
    for (; i < end; i += step) {
        add(&sum, &products, load(at, i), c);
        count += 1u;
        if count >= block_end {
            end_block(&tally, &sum, &products);
            block_end += params.block;
        }
    }
    absorb(&tally, Gathered(sum, products));
    return sums_of(tally);
}

fn end_block(tally: ptr<function, Tally>, sum: ptr<function, V>, products: ptr<function, V>) {
    absorb(tally, Gathered(*sum, *products));
    *sum = V(0.0);
    *products = V(0.0);
}
