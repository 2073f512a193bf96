// Stage, inner contiguous: a unit is rows one after another, as they lie in memory. A lane that went through the rows of one
// channel would jump from each to the next before a processor's prefetcher has found its way.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    var run = work;
    var group = work.row % params.channels;
    for (var row = work.row; row < work.row_end; row++) {
        run.row = row;
        run.row_end = row + 1u;
        apply(run, channel_of(group));
        group = select(group + 1u, 0u, group + 1u == params.channels);
    }
}
