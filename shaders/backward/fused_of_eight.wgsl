// All stages in one dispatch: a unit is eight whole channels, which are two groups of four and belong to one lane.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let group = 2u * work.group;
    let sums = gather(work, channels_of(group));
    let a = finalize(group, sums.a, work.leads);
    let b = finalize(group + 1u, sums.b, work.leads);
    apply(work, Channels(a, b));
}
