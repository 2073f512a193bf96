// A unit is rows one after another, as they lie in memory; what is done to each is `go_over`. A lane that went through the rows of
// one channel would jump from each to the next before a processor's prefetcher has found its way.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    var one = work;
    one.group = work.row % params.channels;
    one.split = params.first_split + work.row / params.channels;
    for (var row = work.row; row < work.row_end; row++) {
        one.row_begin = row;
        one.row = row;
        one.row_end = row + 1u;
        go_over(one);
        one.group += 1u;
        if one.group == params.channels {
            one.group = 0u;
            one.split += 1u;
        }
    }
}
