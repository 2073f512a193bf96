// Stage: leaves the moments of a unit for the finalize stage. A partial is (count, frame, mean from the frame, M2): one
// vec4 per channel and split.
fn finish(work: Work, group: u32, frame: M, moments: Moments) {
    if !work.leads {
        return;
    }
    for (var k = 0u; k < CHANNELS; k++) {
        let channel = group * CHANNELS + k - params.first_channel;
        store_partial(
            work.split * params.channels + channel,
            vec4(
                moments.count,
                bitcast<u32>(component(frame, k)),
                bitcast<u32>(component(moments.mean, k)),
                bitcast<u32>(component(moments.m2, k)),
            ),
        );
    }
}
