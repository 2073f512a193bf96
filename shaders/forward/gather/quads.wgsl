// Moments of quads: see shared/quads.wgsl.

fn frame(work: Work) -> M {
    let first = work.row_begin;
    let middle = (work.row_begin + work.row_end) / 2u;
    let last = work.row_end - 1u;
    return median(
        channel_values(work, first, 0u),
        channel_values(work, middle, params.columns / 2u),
        channel_values(work, last, params.columns - 1u),
    );
}

// Value number `index` of each of the four channels.
fn channel_values(work: Work, row: u32, index: u32) -> M {
    let i = work.x + row * params.row_stride;
    let at = vec4(0u, 1u, 2u, 3u) * params.columns + index;
    let access = at / 4u;
    let part = at % 4u;
    return M(
        load_x_value(i + access.x, part.x),
        load_x_value(i + access.y, part.y),
        load_x_value(i + access.z, part.z),
        load_x_value(i + access.w, part.w),
    );
}

fn gather(work: Work, frame: M) -> Moments {
    var total = no_moments();
    var center = frame;
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block);
        var sum = M(0.0);
        var squares = M(0.0);
        // down the rows: a lane keeps its place in the plane, and folds to channels once for all rows
        for (var column = 0u; column < params.columns; column++) {
            let centers = spread(center, column);
            var column_sum = V(0.0);
            var column_squares = V(0.0);
            for (var r = row; r < stop; r++) {
                let a = load_x(work.x + r * params.row_stride + column) - centers;
                column_sum += a;
                column_squares += a * a;
            }
            sum += collect(column_sum, column);
            squares += collect(column_squares, column);
        }
        total = absorb(total, frame, center, (stop - row) * params.columns, sum, squares);
        center = opaque(frame + total.mean);
        row = stop;
    }
    return total;
}
