// Sums, channels contiguous, of halves: a unit is eight neighbouring channels, which are two vectors, or a split of them. As in
// columns.wgsl, with a tally for each of the vectors, and one access in flight.
struct SumsOfEight {
    a: Gathered,
    b: Gathered,
}

fn add(sums: ptr<function, Gathered>, loaded: Loaded, c: Coefficients) {
    let g = gradient(loaded, c);
    (*sums).g += g;
    (*sums).gx += g * (loaded.x - c.mean);
}

fn gather(work: Work, channels: Channels) -> SumsOfEight {
    let at = starts();
    let c = spread(channels);
    let step = TEAM_ROWS * params.row_stride;
    var tally_a = Tally();
    var tally_b = Tally();
    var row = work.row;
    var i = work.start + row * params.row_stride;
    while row < work.row_end {
        let left = (work.row_end - row + TEAM_ROWS - 1u) / TEAM_ROWS;
        let count = min(params.block, left);
        let end = i + count * step;
        var a = Gathered();
        var b = Gathered();
        for (; i < end; i += step) {
            let loaded = load(at, i);
            add(&a, loaded.a, c.a);
            add(&b, loaded.b, c.b);
        }
        absorb(&tally_a, a);
        absorb(&tally_b, b);
        row += count * TEAM_ROWS;
    }
    return SumsOfEight(sums_of(tally_a), sums_of(tally_b));
}

fn channels_of(group: u32) -> Channels {
    return Channels(forward_coefficients(group), forward_coefficients(group + 1u));
}
