// All stages in one dispatch, which reads x once: a unit is whole channels, whose values its lanes hold in registers.
struct Share {
    at: Starts,
    reach: Reach,
    held: array<Loaded, HELD>,
    // What values are subtracted from, and the sums of what is left and of its squares.
    center: M,
    sum: V,
    squares: V,
    coefficients: Coefficients,
}

fn add(share: ptr<function, Share>, k: u32) {
    let a = select(V(0.0), (*share).held[k].x - (*share).center, is_own((*share).reach, k));
    (*share).sum += a;
    (*share).squares += a * a;
}

fn write(share: ptr<function, Share>, k: u32) {
    let reach = (*share).reach;
    if is_own(reach, k) {
        store((*share).at, index_of(reach, k), (*share).held[k], (*share).coefficients);
    }
}

// The moments of a lane's share: its mean first, then the deviations from that.
fn moments_of_share(share: ptr<function, Share>, frame: M) -> Moments {
    let accesses = own_accesses((*share).reach);
    if accesses == 0u {
        return no_moments();
    }
    let count = accesses * (WIDTH / CHANNELS);
    (*share).center = frame;
    each_add(share);
    let center = opaque(frame + fold((*share).sum) / f32(count));
    (*share).center = center;
    (*share).sum = V(0.0);
    (*share).squares = V(0.0);
    each_add(share);
    return moments_about(center, frame, count, fold((*share).sum), fold((*share).squares));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    var share: Share;
    share.at = starts();
    share.reach = reach_of(work);
    each_hold(&share);
    let origin = frame(work);
    let moments = combine(invocation, moments_of_share(&share, origin));
    share.coefficients = spread(finalize(work.group, origin, moments, work.leads));
    if work.valid {
        each_write(&share);
    }
}
