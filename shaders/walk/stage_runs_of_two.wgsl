// Stage, inner contiguous, of halves eight at a time: rows of two channels one after another. The access in the middle is half
// of one and half of the other.
struct Two {
    first: Coefficients,
    second: Coefficients,
    middle: u32,
}

fn coefficients_at(two: Two, column: u32) -> CoefficientsOfEight {
    return CoefficientsOfEight(
        choose(two.first, two.second, column > two.middle),
        choose(two.first, two.second, column >= two.middle),
    );
}

fn go_over(row: Work) {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    let both = spread(Channels(channel_of(2u * row.group), channel_of(2u * row.group + 1u)));
    let two = Two(both.a, both.b, row.column_end / 2u);
    var k = 0u;
    // two accesses in flight
    for (; PAIRS && k + 1u < row.column_end; k += 2u) {
        let a = load(at, start + k);
        let b = load(at, start + k + 1u);
        store(at, start + k, a, coefficients_at(two, k));
        store(at, start + k + 1u, b, coefficients_at(two, k + 1u));
    }
    for (; k < row.column_end; k++) {
        store(at, start + k, load(at, start + k), coefficients_at(two, k));
    }
}
