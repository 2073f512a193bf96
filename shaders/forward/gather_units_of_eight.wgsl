// A unit is eight channels, which are two groups of four.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let group = 2u * work.group;
    let origin = frame(work);
    let moments = gather(work, origin);
    finish(work, group, origin.a, moments.a);
    finish(work, group + 1u, origin.b, moments.b);
}
