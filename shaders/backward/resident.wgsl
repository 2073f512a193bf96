// All stages in one dispatch, which reads each tensor once: a unit is whole channels, of which its lanes hold x and g in
// registers. What g is found from is needed no longer once it is found.
struct Share {
    at: Starts,
    reach: Reach,
    held: array<Loaded, HELD>,
    g: array<V, HELD>,
    // As far as they are known before the sums, then all of them.
    coefficients: Coefficients,
    // Of g, and of g * (x - mean).
    sum: V,
    products: V,
}

fn add(share: ptr<function, Share>, k: u32) {
    let c = (*share).coefficients;
    let loaded = (*share).held[k];
    let g = gradient(loaded, c);
    let own = select(V(0.0), g, is_own((*share).reach, k));
    (*share).g[k] = g;
    (*share).sum += own;
    (*share).products += own * (loaded.x - c.mean);
}

fn write(share: ptr<function, Share>, k: u32) {
    let reach = (*share).reach;
    if is_own(reach, k) {
        store_gradients((*share).at, index_of(reach, k), (*share).held[k].x, (*share).g[k], (*share).coefficients);
    }
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    var share: Share;
    share.at = starts();
    share.reach = reach_of(work);
    each_hold(&share);
    share.coefficients = spread(forward_coefficients(work.group));
    each_add(&share);
    let sums = combine(invocation, Gathered(fold(share.sum), fold(share.products)));
    share.coefficients = spread(finalize(work.group, sums, work.leads));
    if work.valid {
        each_write(&share);
    }
}
