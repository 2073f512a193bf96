// A workgroup belongs to one unit: subgroups of any size combine their own lanes, then each other's results through
// workgroup memory. The order of lanes in a subgroup does not matter.

struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(num_subgroups) subgroups: u32,
}

// A subgroup has at least 4 lanes.
var<workgroup> subgroup_results: array<Gathered, (WORKGROUP_SIZE + 3u) / 4u>;

fn combine(invocation: Invocation, gathered: Gathered) -> Gathered {
    let mine = combine_subgroup(gathered);
    if invocation.subgroup_lane == 0u {
        subgroup_results[invocation.subgroup] = mine;
    }
    workgroupBarrier();
    var total = subgroup_results[0];
    for (var i = 1u; i < invocation.subgroups; i++) {
        total = merge(total, subgroup_results[i]);
    }
    return total;
}
