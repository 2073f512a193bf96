// A unit is rows one after another, as they lie in memory, each of a group of channels; what is done to one is `go_over`. A lane that
// went through the rows of one group would jump from each to the next before a processor's prefetcher has found its way.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let groups = params.channels / params.row_channels;
    var one = work;
    one.group = work.row % groups;
    one.split = params.first_split + work.row / groups;
    for (var row = work.row; row < work.row_end; row++) {
        one.row_begin = row;
        one.row = row;
        one.row_end = row + 1u;
        go_over(one);
        one.group += 1u;
        if one.group == groups {
            one.group = 0u;
            one.split += 1u;
        }
    }
}
