// All stages in one dispatch: a unit is whole channels, which belong to one workgroup (or one lane).
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let sums = combine(invocation, gather(work, forward_coefficients(work.group)));
    apply(work, finalize(work.group, sums, work.leads));
}
