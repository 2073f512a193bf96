// Inner contiguous with an odd inner size (7x7) and channels in fours: a unit is four channels, or a split of them; a row
// is their plane of `columns` aligned vec4, of which each channel has the next quarter. A unit belongs to one lane.

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
    let i = work.start + row * params.row_stride;
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

fn positions(column: u32) -> vec4<u32> {
    return column * 4u + vec4(0u, 1u, 2u, 3u);
}

// Each channel's own number, for the values of one access.
fn spread(channels: M, column: u32) -> V {
    let at = positions(column);
    var values = V(channels.x);
    values = select(values, V(channels.y), at >= vec4(params.columns));
    values = select(values, V(channels.z), at >= vec4(params.columns * 2u));
    values = select(values, V(channels.w), at >= vec4(params.columns * 3u));
    return values;
}

// The sum per channel of the values of one access.
fn collect(values: V, column: u32) -> M {
    let channel = vec4<u32>(positions(column) >= vec4(params.columns)) + vec4<u32>(positions(column) >= vec4(params.columns * 2u))
        + vec4<u32>(positions(column) >= vec4(params.columns * 3u));
    return M(
        sum4(select(V(0.0), values, channel == vec4(0u))),
        sum4(select(V(0.0), values, channel == vec4(1u))),
        sum4(select(V(0.0), values, channel == vec4(2u))),
        sum4(select(V(0.0), values, channel == vec4(3u))),
    );
}

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
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
                let a = load_x(work.start + r * params.row_stride + column) - centers;
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

fn normalize(work: Work, coefficients: Coefficients) {
    // along the rows, two at a time: stores a row apart are slow
    for (var row = work.row; row < work.row_end; row += 2u) {
        let i = work.start + row * params.row_stride;
        let pair = row + 1u < work.row_end;
        for (var column = 0u; column < params.columns; column++) {
            let mean = spread(coefficients.mean, column);
            let scale = spread(coefficients.scale, column);
            let shift = spread(coefficients.shift, column);
            store_y(i + column, (load_x(i + column) - mean) * scale + shift);
            if pair {
                let j = i + params.row_stride + column;
                store_y(j, (load_x(j) - mean) * scale + shift);
            }
        }
    }
}
