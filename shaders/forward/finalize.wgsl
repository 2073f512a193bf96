// Stage: from the partials of a channel to its coefficients.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let frame = frame_of_partials(work);
    let moments = combine(invocation, gather_partials(work, frame));
    let channel = finalize(work.group, frame, moments, work.leads);
    if work.leads {
        store_channel(work.group, channel);
    }
}
