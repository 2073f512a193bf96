// Sums, channels contiguous, a lane's four groups at once: see walk/wide.wgsl.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    if !work.valid {
        return;
    }
    let start = wide_start(work);
    let group = wide_group(work);
    let at = starts();
    let c0 = spread(forward_coefficients(group));
    let c1 = spread(forward_coefficients(group + APART));
    let c2 = spread(forward_coefficients(group + 2u * APART));
    let c3 = spread(forward_coefficients(group + 3u * APART));

    var t0 = Tally();
    var t1 = Tally();
    var t2 = Tally();
    var t3 = Tally();
    let row_stride = params.row_stride;
    var row = work.row;
    var i = start + row * row_stride;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block);
        let end = i + (stop - row) * row_stride;
        var s0 = Gathered();
        var s1 = Gathered();
        var s2 = Gathered();
        var s3 = Gathered();
        for (; i < end; i += row_stride) {
            let a = load(at, i);
            let b = load(at, i + APART);
            let c = load(at, i + 2u * APART);
            let d = load(at, i + 3u * APART);
            s0 = merge(s0, sums_of_access(a, c0));
            s1 = merge(s1, sums_of_access(b, c1));
            s2 = merge(s2, sums_of_access(c, c2));
            s3 = merge(s3, sums_of_access(d, c3));
        }
        row = stop;
        absorb(&t0, s0);
        absorb(&t1, s1);
        absorb(&t2, s2);
        absorb(&t3, s3);
    }
    finish_four(work, start, group, sums_of(t0), sums_of(t1), sums_of(t2), sums_of(t3));
}

fn sums_of_access(a: Loaded, c: Coefficients) -> Gathered {
    let g = gradient(a, c);
    return Gathered(g, g * (a.x - c.mean));
}
