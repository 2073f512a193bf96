// A unit is eight channels, which are two groups of four.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let origin = frame(work);
    let moments = gather(work, origin);
    finish(work, 2u * work.group, origin.a, moments.a);
    finish(work, 2u * work.group + 1u, origin.b, moments.b);
}
