// A row is that of several neighbouring channels, of which each has the next `inner` values: an access in which one ends is the
// next one's as well.
struct Part {
    // The channel's own accesses in the row.
    first: u32,
    end: u32,
    // Its values in the access before those, and in the one after.
    before: u32,
    after: u32,
}

fn part_of(k: u32) -> Part {
    let begin = k * params.inner;
    let end = begin + params.inner;
    let first = (begin + WIDTH - 1u) / WIDTH;
    return Part(first, end / WIDTH, first * WIDTH - begin, end % WIDTH);
}
