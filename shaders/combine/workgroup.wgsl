// The lanes of a unit combine what they gathered by a tree in workgroup memory; every lane gets the result.

struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
}

var<workgroup> lanes: array<Gathered, WORKGROUP_SIZE>;

fn combine(invocation: Invocation, gathered: Gathered) -> Gathered {
    let lane = invocation.lane;
    lanes[lane] = gathered;
    // lanes of one unit are UNITS_ACROSS apart
    for (var half = WORKGROUP_SIZE / 2u; half >= UNITS_ACROSS; half /= 2u) {
        workgroupBarrier();
        if lane < half {
            lanes[lane] = merge(lanes[lane], lanes[lane + half]);
        }
    }
    workgroupBarrier();
    return lanes[lane % UNITS_ACROSS];
}
