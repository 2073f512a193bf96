// Stage: statistics and finalize in one dispatch. A unit is whole channels, whose moments need no merging with others.
fn finish(work: Work, group: u32, frame: M, moments: Moments) {
    if !work.leads {
        return;
    }
    let coefficients = finalize(group, frame, moments, true);
    store_coefficients(0u, group, coefficients.mean);
    store_coefficients(1u, group, coefficients.scale);
    store_coefficients(2u, group, coefficients.shift);
}
