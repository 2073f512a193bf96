// Stage: from the partials of a channel to its moments: (count, rounded mean, its remainder, M2).
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let frame = frame_of_partials(work);
    let moments = combine(invocation, gather_partials(work, frame));
    if work.leads {
        let exact = mean_in_two_parts(frame, moments.mean);
        let merged = vec4(
            moments.count,
            bitcast<u32>(exact.mean),
            bitcast<u32>(exact.remainder),
            bitcast<u32>(moments.m2),
        );
        // nothing has no mean
        store_moments(work.group, select(merged, vec4(0u), moments.count == 0u));
    }
}
