@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let sums = combine(invocation, gather(work, forward_coefficients(work.group)));
    finish(work, work.group, sums);
}
