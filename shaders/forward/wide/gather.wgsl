// Moments, channels contiguous, a lane's four groups at once: see walk/wide.wgsl.

struct Four {
    a: M,
    b: M,
    c: M,
    d: M,
}

struct FourMoments {
    a: Moments,
    b: Moments,
    c: Moments,
    d: Moments,
}

fn load_four(at: Starts, i: u32) -> Four {
    return Four(load_x(at, i), load_x(at, i + APART), load_x(at, i + 2u * APART), load_x(at, i + 3u * APART));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    if !work.valid {
        return;
    }
    let start = wide_start(work);
    let at = starts();

    let row_stride = params.row_stride;
    let first = load_four(at, start + work.row_begin * row_stride);
    let middle = load_four(at, start + (work.row_begin + work.row_end) / 2u * row_stride);
    let last = load_four(at, start + (work.row_end - 1u) * row_stride);
    let frame = Four(
        median(first.a, middle.a, last.a),
        median(first.b, middle.b, last.b),
        median(first.c, middle.c, last.c),
        median(first.d, middle.d, last.d),
    );

    var a = new_tally(frame.a);
    var b = new_tally(frame.b);
    var c = new_tally(frame.c);
    var d = new_tally(frame.d);
    var block = min(FIRST_BLOCK, params.block);
    var row = work.row;
    var i = start + row * row_stride;
    while row < work.row_end {
        let stop = min(work.row_end, row + block);
        let count = stop - row;
        let center = Four(a.center, b.center, c.center, d.center);
        var sum = Four();
        var squares = Four();
        let end = i + count * row_stride;
        for (; i < end; i += row_stride) {
            let values = load_four(at, i);
            let va = values.a - center.a;
            let vb = values.b - center.b;
            let vc = values.c - center.c;
            let vd = values.d - center.d;
            sum.a += va;
            sum.b += vb;
            sum.c += vc;
            sum.d += vd;
            squares.a += va * va;
            squares.b += vb * vb;
            squares.c += vc * vc;
            squares.d += vd * vd;
        }
        row = stop;
        absorb(&a, frame.a, count, sum.a, squares.a);
        absorb(&b, frame.b, count, sum.b, squares.b);
        absorb(&c, frame.c, count, sum.c, squares.c);
        absorb(&d, frame.d, count, sum.d, squares.d);
        block = min(block * BLOCK_GROWTH, params.block);
    }
    let moments = FourMoments(moments_of(a), moments_of(b), moments_of(c), moments_of(d));
    finish_four(work, start, wide_group(work), frame, moments);
}
