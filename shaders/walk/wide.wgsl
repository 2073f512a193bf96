// Channels contiguous, for software adapters where every row starts a page: a lane owns four accesses of each row, as far
// apart as there are lanes, so that a workgroup reads four times as much of a page before it goes to the next.

// Groups from one of a lane's four to the next.
const APART: u32 = UNITS_ACROSS;

// Units are numbered lane by lane: every UNITS_ACROSS of them skip three times as many groups.
fn skipped_groups(work: Work) -> u32 {
    return (work.group - params.first_group) / UNITS_ACROSS * (3u * UNITS_ACROSS);
}

// The first of a lane's four groups, and where it starts.
fn wide_group(work: Work) -> u32 {
    return work.group + skipped_groups(work);
}

fn wide_start(work: Work) -> u32 {
    return work.start + skipped_groups(work);
}
