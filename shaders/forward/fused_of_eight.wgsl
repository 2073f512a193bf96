// All stages in one dispatch: a unit is eight whole channels, which are two groups of four and belong to one lane.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let group = 2u * work.group;
    let origin = frame(work);
    let moments = gather(work, origin);
    let a = finalize(group, origin.a, moments.a, work.leads);
    let b = finalize(group + 1u, origin.b, moments.b, work.leads);
    apply(work, Channels(a, b));
}
