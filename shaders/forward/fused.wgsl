// All stages in one dispatch: a unit is whole channels, which belong to one workgroup (or one lane).
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let origin = frame(work);
    let moments = combine(invocation, gather(work, origin));
    apply(work, finalize(work.group, origin, moments, work.leads));
}
