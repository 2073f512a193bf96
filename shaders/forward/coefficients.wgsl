// Stage: statistics and finalize in one dispatch. A unit is whole channels, whose moments need no merging with others.
fn finish(work: Work, group: u32, frame: M, moments: Moments) {
    let channel = finalize(group, frame, moments, work.leads);
    if work.leads {
        store_channel(group, channel);
    }
}
