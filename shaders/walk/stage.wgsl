// Stage: what element.wgsl does to one access, done to all.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    apply(work, channel_of(work.group));
}
