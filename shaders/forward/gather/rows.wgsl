// Moments, inner contiguous (channels-first): a unit is one channel, or a split of it; a row is a run of its values.
fn gather(work: Work, frame: M) -> Moments {
    let at = starts();
    var tally = new_tally(frame);
    var block = min(FIRST_BLOCK, params.block);
    let step = TEAM_COLUMNS;
    let row_stride = params.row_stride;
    var center = frame;
    var sum = V(0.0);
    var squares = V(0.0);
    var count = 0u;
    for (var row = work.row; row < work.row_end; row += TEAM_ROWS) {
        let end = work.start + row * row_stride + work.column_end;
        var i = work.start + row * row_stride + work.column;
        while i < end {
            let stop = min(end, i + block * step);
            count += (stop - i + step - 1u) / step;
            // two accesses in flight
            for (; i + step < stop; i += 2u * step) {
                let a = load_x(at, i);
                let b = load_x(at, i + step);
                add_pair(&sum, &squares, a, b, center);
            }
            if i < stop {
                add(&sum, &squares, load_x(at, i), center);
                i += step;
            }
            if count >= block {
                absorb(&tally, frame, count * WIDTH, fold(sum), fold(squares));
                block = min(block * BLOCK_GROWTH, params.block);
                center = tally.center;
                sum = V(0.0);
                squares = V(0.0);
                count = 0u;
            }
        }
    }
    if count > 0u {
        absorb(&tally, frame, count * WIDTH, fold(sum), fold(squares));
    }
    return moments_of(tally);
}
