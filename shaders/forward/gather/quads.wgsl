// Moments of quads, channel by channel: see shared/quads.wgsl.

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
    let at = starts();
    let i = work.start + row * params.row_stride;
    let position = vec4(0u, 1u, 2u, 3u) * params.columns + index;
    let access = position / 4u;
    let part = position % 4u;
    return M(
        load_x_value(at, i + access.x, part.x),
        load_x_value(at, i + access.y, part.y),
        load_x_value(at, i + access.z, part.z),
        load_x_value(at, i + access.w, part.w),
    );
}

fn gather(work: Work, frame: M) -> Moments {
    var tally = new_tally(frame);
    // a row is a block already
    var block = 1u;
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + block);
        var sum = M(0.0);
        var squares = M(0.0);
        for (var k = 0u; k < four_channels(); k++) {
            let sums = sum_channel(work.start, row, stop, k, component(tally.center, k));
            sum = with_channel(sum, k, sum4(sums.sum));
            squares = with_channel(squares, k, sum4(sums.squares));
        }
        absorb(&tally, frame, (stop - row) * params.columns, sum, squares);
        block = min(block * BLOCK_GROWTH, params.block);
        row = stop;
    }
    return moments_of(tally);
}

struct Sums {
    sum: V,
    squares: V,
}

fn sum_channel(first: u32, row_begin: u32, row_end: u32, k: u32, center: f32) -> Sums {
    let at = starts();
    let quarter = quarter(k);
    let position = vec4(0u, 1u, 2u, 3u);
    let row_stride = params.row_stride;
    var sums: Sums;
    for (var row = row_begin; row < row_end; row++) {
        let start = first + row * row_stride;
        var i = start + quarter.first_whole;
        let end = start + quarter.end_whole;
        if quarter.before > 0u {
            add(&sums, select(V(0.0), load_x(at, i - 1u) - center, position >= vec4(quarter.before)));
        }
        // two accesses in flight
        for (; i + 1u < end; i += 2u) {
            let a = load_x(at, i) - center;
            let b = load_x(at, i + 1u) - center;
            sums.sum += a + b;
            sums.squares += a * a + b * b;
        }
        if i < end {
            add(&sums, load_x(at, i) - center);
        }
        if quarter.after > 0u {
            add(&sums, select(V(0.0), load_x(at, end) - center, position < vec4(quarter.after)));
        }
    }
    return sums;
}

fn add(sums: ptr<function, Sums>, a: V) {
    (*sums).sum += a;
    (*sums).squares += a * a;
}
