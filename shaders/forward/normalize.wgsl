// Stage: y = (x - mean) * scale + shift.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    normalize(work, coefficients(work.group));
}
