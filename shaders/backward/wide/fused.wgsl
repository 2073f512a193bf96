// All stages in one dispatch: a lane's four groups are whole channels, which it goes over row by row.
fn finish_four(work: Work, start: u32, group: u32, a: Gathered, b: Gathered, c: Gathered, d: Gathered) {
    let c0 = finalize(group, a, true);
    let c1 = finalize(group + APART, b, true);
    let c2 = finalize(group + 2u * APART, c, true);
    let c3 = finalize(group + 3u * APART, d, true);
    apply_four(work, start, c0, c1, c2, c3);
}
