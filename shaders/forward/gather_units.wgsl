@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let origin = frame(work);
    let moments = combine(invocation, gather(work, origin));
    finish(work, work.group, origin, moments);
}
