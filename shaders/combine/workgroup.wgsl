// The lanes of a unit combine their moments by a tree in workgroup memory; every lane gets the result.

struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
}

var<workgroup> lanes: array<Moments, WORKGROUP_SIZE>;

fn combine(invocation: Invocation, moments: Moments) -> Moments {
    let lane = invocation.lane;
    lanes[lane] = moments;
    // lanes of one unit are `units_across` apart
    for (var half = WORKGROUP_SIZE / 2u; half >= params.units_across; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = merge(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[lane % params.units_across];
}
