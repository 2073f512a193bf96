// Each of a lane's four groups is finished by itself.
fn finish_four(work: Work, start: u32, group: u32, a: Gathered, b: Gathered, c: Gathered, d: Gathered) {
    finish(work, group, a);
    finish(work, group + APART, b);
    finish(work, group + 2u * APART, c);
    finish(work, group + 3u * APART, d);
}
