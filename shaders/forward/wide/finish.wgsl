// Each of a lane's four groups is finished by itself.
fn finish_four(work: Work, start: u32, group: u32, frame: Four, moments: FourMoments) {
    finish(work, group, frame.a, moments.a);
    finish(work, group + APART, frame.b, moments.b);
    finish(work, group + 2u * APART, frame.c, moments.c);
    finish(work, group + 3u * APART, frame.d, moments.d);
}
