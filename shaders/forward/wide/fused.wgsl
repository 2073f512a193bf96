// All stages in one dispatch: a lane's four groups are whole channels, which it normalizes row by row.
fn finish_four(work: Work, start: u32, group: u32, frame: Four, moments: FourMoments) {
    let c0 = finalize(group, frame.a, moments.a, true);
    let c1 = finalize(group + APART, frame.b, moments.b, true);
    let c2 = finalize(group + 2u * APART, frame.c, moments.c, true);
    let c3 = finalize(group + 3u * APART, frame.d, moments.d, true);
    apply_four(work, start, c0, c1, c2, c3);
}
