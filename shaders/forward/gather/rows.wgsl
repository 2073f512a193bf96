// Moments, inner contiguous (channels-first): a unit is one channel, or a split of it; a row is a run of its values.

fn frame(work: Work) -> M {
    let first = work.row_begin * params.row_stride + work.column_begin;
    let middle = (work.row_begin + work.row_end) / 2u * params.row_stride + (work.column_begin + work.column_end) / 2u;
    let last = (work.row_end - 1u) * params.row_stride + work.column_end - 1u;
    return median(
        load_x_value(work.x + first, 0u),
        load_x_value(work.x + middle, 0u),
        load_x_value(work.x + last, WIDTH - 1u),
    );
}

fn gather(work: Work, frame: M) -> Moments {
    var total = no_moments();
    var center = frame;
    var sum = V(0.0);
    var squares = V(0.0);
    var count = 0u;
    let step = params.team_columns;
    for (var row = work.row; row < work.row_end; row += params.team_rows) {
        let start = work.x + row * params.row_stride;
        var column = work.column;
        while column < work.column_end {
            let stop = min(work.column_end, column + params.block * step);
            // two accesses in flight
            for (; column + step < stop; column += 2u * step) {
                let a = load_x(start + column) - center;
                let b = load_x(start + column + step) - center;
                sum += a + b;
                squares += a * a + b * b;
                count += 2u;
            }
            if column < stop {
                let a = load_x(start + column) - center;
                sum += a;
                squares += a * a;
                count += 1u;
                column += step;
            }
            if count >= params.block {
                total = absorb(total, frame, center, count * WIDTH, fold(sum), fold(squares));
                center = opaque(frame + total.mean);
                sum = V(0.0);
                squares = V(0.0);
                count = 0u;
            }
        }
    }
    if count > 0u {
        total = absorb(total, frame, center, count * WIDTH, fold(sum), fold(squares));
    }
    return total;
}
