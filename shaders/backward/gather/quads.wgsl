// Sums of quads, channel by channel: see shared/quads.wgsl.
fn gather(work: Work, channel: Channel) -> Gathered {
    var tally = Tally();
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block);
        var block = Gathered();
        for (; row < stop; row++) {
            add_row(&block, work.start + row * params.row_stride, channel);
        }
        absorb(&tally, block);
    }
    return sums_of(tally);
}

// Of one channel of a quad, access by access.
struct ChannelSums {
    g: V,
    gx: V,
}

fn add_row(sums: ptr<function, Gathered>, start: u32, coefficients: Channel) {
    let at = starts();
    let pairs_end = start + whole_pairs();
    var a: Loaded;
    var b: Loaded;
    var i = start;
    for (var k = 0u; k < four_channels(); k++) {
        let c = spread_one(coefficients, k);
        var channel: ChannelSums;
        // what the last pair has of this channel
        let shared_pair = begins_in_pair(k);
        add(&channel, a, c, shared_pair.a);
        add(&channel, b, c, shared_pair.b);
        let end = min(pairs_end, start + end_of_pairs(k));
        var left = (k + 1u) * params.columns - (i - start) * 4u;
        for (; i < end; i += 2u) {
            a = load(at, i);
            b = load(at, i + 1u);
            add(&channel, a, c, FIRST < vec4(left));
            add(&channel, b, c, SECOND < vec4(left));
            left -= 8u;
        }
        (*sums).g += with_channel(M(0.0), k, sum4(channel.g));
        (*sums).gx += with_channel(M(0.0), k, sum4(channel.gx));
    }
    // an odd last access is all of the last channel
    if i < start + params.columns {
        var channel: ChannelSums;
        add(&channel, load(at, i), spread_one(coefficients, 3u), vec4(true));
        (*sums).g.w += sum4(channel.g);
        (*sums).gx.w += sum4(channel.gx);
    }
}

// Takes in the values of an access that are the channel's own.
fn add(sums: ptr<function, ChannelSums>, a: Loaded, c: Coefficients, own: vec4<bool>) {
    let g = gradient(a, c);
    (*sums).g += select(V(0.0), g, own);
    (*sums).gx += select(V(0.0), g * (a.x - c.mean), own);
}
