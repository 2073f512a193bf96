// Moments, channels contiguous, of halves: a unit is eight neighbouring channels, which are two vectors, or a split of them. As in
// columns.wgsl, with a tally for each of the vectors.
struct Frames {
    a: M,
    b: M,
}

struct MomentsOfEight {
    a: Moments,
    b: Moments,
}

struct Sums {
    sum: V,
    squares: V,
}

fn frame(work: Work) -> Frames {
    let at = starts();
    let middle_row = (work.row_begin + work.row_end) / 2u;
    let first = load_x(at, work.start + work.row_begin * params.row_stride);
    let middle = load_x(at, work.start + middle_row * params.row_stride);
    let last = load_x(at, work.start + (work.row_end - 1u) * params.row_stride);
    return Frames(median(first.a, middle.a, last.a), median(first.b, middle.b, last.b));
}

fn add(sums: ptr<function, Sums>, x: V, center: V) {
    let a = x - center;
    (*sums).sum += a;
    (*sums).squares += a * a;
}

fn add_pair(sums: ptr<function, Sums>, x0: V, x1: V, center: V) {
    let a = x0 - center;
    let b = x1 - center;
    (*sums).sum += a + b;
    (*sums).squares += a * a + b * b;
}

fn gather(work: Work, frame: Frames) -> MomentsOfEight {
    let at = starts();
    var tally_a = new_tally(frame.a);
    var tally_b = new_tally(frame.b);
    var block = min(FIRST_BLOCK, params.block);
    let step = TEAM_ROWS * params.row_stride;
    var row = work.row;
    var i = work.start + row * params.row_stride;
    while row < work.row_end {
        let left = (work.row_end - row + TEAM_ROWS - 1u) / TEAM_ROWS;
        let count = min(block, left);
        let end = i + count * step;
        let center_a = tally_a.center;
        let center_b = tally_b.center;
        var a: Sums;
        var b: Sums;
        // two accesses in flight
        for (; i + step < end; i += 2u * step) {
            let x0 = load_x(at, i);
            let x1 = load_x(at, i + step);
            add_pair(&a, x0.a, x1.a, center_a);
            add_pair(&b, x0.b, x1.b, center_b);
        }
        if i < end {
            let x = load_x(at, i);
            add(&a, x.a, center_a);
            add(&b, x.b, center_b);
            i += step;
        }
        absorb(&tally_a, frame.a, count, a.sum, a.squares);
        absorb(&tally_b, frame.b, count, b.sum, b.squares);
        row += count * TEAM_ROWS;
        block = min(block * BLOCK_GROWTH, params.block);
    }
    return MomentsOfEight(moments_of(tally_a), moments_of(tally_b));
}
