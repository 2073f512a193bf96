// A workgroup is one subgroup and belongs to one unit: no barrier, no workgroup memory.

struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
}

fn combine(invocation: Invocation, gathered: Gathered) -> Gathered {
    return combine_subgroup(gathered);
}
