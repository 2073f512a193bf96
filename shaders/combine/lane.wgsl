// A unit belongs to one lane: nothing to combine.

struct Invocation {
    @builtin(local_invocation_index) lane: u32,
    @builtin(workgroup_id) workgroup: vec3<u32>,
}

fn combine(invocation: Invocation, gathered: Gathered) -> Gathered {
    return gathered;
}
