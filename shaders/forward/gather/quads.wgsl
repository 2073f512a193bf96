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
        let count = (stop - row) * params.columns;
        var sums: Sums;
        for (; row < stop; row++) {
            add_row(&sums, work.start + row * params.row_stride, tally.center);
        }
        absorb(&tally, frame, count, sums.sum, sums.squares);
        block = min(block * BLOCK_GROWTH, params.block);
    }
    return moments_of(tally);
}

// Of the four channels of a quad, and of one of them access by access.
struct Sums {
    sum: M,
    squares: M,
}

struct ChannelSums {
    sum: V,
    squares: V,
}

fn add_row(sums: ptr<function, Sums>, start: u32, center: M) {
    let at = starts();
    let pairs_end = start + whole_pairs();
    var a = V(0.0);
    var b = V(0.0);
    var i = start;
    for (var k = 0u; k < four_channels(); k++) {
        let own = component(center, k);
        var channel: ChannelSums;
        // what the last pair has of this channel
        let shared_pair = begins_in_pair(k);
        add(&channel, a - own, shared_pair.a);
        add(&channel, b - own, shared_pair.b);
        let end = min(pairs_end, start + end_of_pairs(k));
        var left = (k + 1u) * params.columns - (i - start) * 4u;
        for (; i < end; i += 2u) {
            a = load_x(at, i);
            b = load_x(at, i + 1u);
            let own_a = select(V(0.0), a - own, FIRST < vec4(left));
            let own_b = select(V(0.0), b - own, SECOND < vec4(left));
            channel.sum += own_a + own_b;
            channel.squares += own_a * own_a + own_b * own_b;
            left -= 8u;
        }
        (*sums).sum += with_channel(M(0.0), k, sum4(channel.sum));
        (*sums).squares += with_channel(M(0.0), k, sum4(channel.squares));
    }
    // an odd last access is all of the last channel
    if i < start + params.columns {
        let last = load_x(at, i) - center.w;
        (*sums).sum.w += sum4(last);
        (*sums).squares.w += sum4(last * last);
    }
}

fn add(sums: ptr<function, ChannelSums>, a: V, own: vec4<bool>) {
    let deviation = select(V(0.0), a, own);
    (*sums).sum += deviation;
    (*sums).squares += deviation * deviation;
}
