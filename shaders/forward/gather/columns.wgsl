// Moments, channels contiguous (channels-last and 2-D): a unit is WIDTH neighbouring channels, or a split of them; a row
// holds one access of each. A lane walks down the rows, so that nothing crosses lanes.
fn gather(work: Work, frame: M) -> Moments {
    let at = starts();
    var tally = new_tally(frame);
    var block = min(FIRST_BLOCK, params.block);
    let step = TEAM_ROWS * params.row_stride;
    var row = work.row;
    var i = work.start + row * params.row_stride;
    while row < work.row_end {
        let left = (work.row_end - row + TEAM_ROWS - 1u) / TEAM_ROWS;
        let count = min(block, left);
        let end = i + count * step;
        let center = tally.center;
        var sum = V(0.0);
        var squares = V(0.0);
        // four accesses in flight
        for (; !SHARED && i + 3u * step < end; i += 4u * step) {
            let a = load_x(at, i) - center;
            let b = load_x(at, i + step) - center;
            let c = load_x(at, i + 2u * step) - center;
            let d = load_x(at, i + 3u * step) - center;
            sum += (a + b) + (c + d);
            squares += (a * a + b * b) + (c * c + d * d);
        }
        // two, added one by one, where registers are few
        for (; SHARED && i + step < end; i += 2u * step) {
            let a = load_x(at, i) - center;
            let b = load_x(at, i + step) - center;
            sum += a;
            sum += b;
            squares += a * a;
            squares += b * b;
        }
        for (; i < end; i += step) {
            let a = load_x(at, i) - center;
            sum += a;
            squares += a * a;
        }
        absorb(&tally, frame, count, sum, squares);
        row += count * TEAM_ROWS;
        block = min(block * BLOCK_GROWTH, params.block);
    }
    return moments_of(tally);
}
