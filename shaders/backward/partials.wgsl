// Stage: leaves the sums of a unit for the finalize stage: one vec2 per channel and split.
fn finish(work: Work, group: u32, sums: Gathered) {
    if !work.leads {
        return;
    }
    for (var k = 0u; k < CHANNELS; k++) {
        let channel = group * CHANNELS + k - params.first_channel;
        let partial = vec2(bitcast<u32>(component(sums.g, k)), bitcast<u32>(component(sums.gx, k)));
        store_partial(work.split * params.channels + channel, partial);
    }
}
