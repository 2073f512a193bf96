// Sums of quads, channel by channel: see shared/quads.wgsl.
fn gather(work: Work, channel: Channel) -> Gathered {
    var tally = Tally();
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block);
        var block = Gathered();
        for (var k = 0u; k < four_channels(); k++) {
            let sums = sum_channel(work.start, row, stop, k, spread_one(channel, k));
            block.g = with_channel(block.g, k, sum4(sums.g));
            block.gx = with_channel(block.gx, k, sum4(sums.gx));
        }
        absorb(&tally, block);
        row = stop;
    }
    return sums_of(tally);
}

struct Sums {
    g: V,
    gx: V,
}

fn sum_channel(first: u32, row_begin: u32, row_end: u32, k: u32, c: Coefficients) -> Sums {
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
            add(&sums, load(at, i - 1u), c, position >= vec4(quarter.before));
        }
        // two accesses in flight
        for (; i + 1u < end; i += 2u) {
            let a = load(at, i);
            let b = load(at, i + 1u);
            let ga = gradient(a, c);
            let gb = gradient(b, c);
            sums.g += ga + gb;
            sums.gx += ga * (a.x - c.mean) + gb * (b.x - c.mean);
        }
        if i < end {
            add(&sums, load(at, i), c, vec4(true));
        }
        if quarter.after > 0u {
            add(&sums, load(at, end), c, position < vec4(quarter.after));
        }
    }
    return sums;
}

// Takes in the values of an access that are the channel's own.
fn add(sums: ptr<function, Sums>, a: Loaded, c: Coefficients, own: vec4<bool>) {
    let g = gradient(a, c);
    (*sums).g += select(V(0.0), g, own);
    (*sums).gx += select(V(0.0), g * (a.x - c.mean), own);
}
