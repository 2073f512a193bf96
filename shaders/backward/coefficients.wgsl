// Stage: sums and finalize in one dispatch. A unit is whole channels, whose sums need no adding to others.
fn finish(work: Work, group: u32, sums: Gathered) {
    let channel = finalize(group, sums, work.leads);
    if work.leads {
        store_channel(group, channel);
    }
}
