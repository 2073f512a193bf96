// A unit is eight channels, which are two groups of four.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let group = 2u * work.group;
    let sums = gather(work, channels_of(group));
    finish(work, group, sums.a);
    finish(work, group + 1u, sums.b);
}
