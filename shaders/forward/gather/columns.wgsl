// Moments, channels contiguous (channels-last and 2-D): a unit is WIDTH neighbouring channels, or a split of them; a row holds one
// access of each. A lane walks down the rows, so that nothing crosses lanes.

fn frame(work: Work) -> M {
    let first = work.row_begin;
    let middle = (work.row_begin + work.row_end) / 2u;
    let last = work.row_end - 1u;
    return median(
        load_x(work.x + first * params.row_stride),
        load_x(work.x + middle * params.row_stride),
        load_x(work.x + last * params.row_stride),
    );
}

fn gather(work: Work, frame: M) -> Moments {
    var total = no_moments();
    var center = frame;
    let step = params.team_rows;
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block * step);
        var sum = V(0.0);
        var squares = V(0.0);
        var count = 0u;
        // four accesses in flight
        for (; row + 3u * step < stop; row += 4u * step) {
            let i = work.x + row * params.row_stride;
            let j = step * params.row_stride;
            let a = load_x(i) - center;
            let b = load_x(i + j) - center;
            let c = load_x(i + 2u * j) - center;
            let d = load_x(i + 3u * j) - center;
            sum += (a + b) + (c + d);
            squares += (a * a + b * b) + (c * c + d * d);
            count += 4u;
        }
        for (; row < stop; row += step) {
            let a = load_x(work.x + row * params.row_stride) - center;
            sum += a;
            squares += a * a;
            count += 1u;
        }
        total = absorb(total, frame, center, count, sum, squares);
        center = opaque(frame + total.mean);
    }
    return total;
}
