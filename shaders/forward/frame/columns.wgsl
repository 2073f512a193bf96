// What the mean of a unit is counted from: a value of its own, the median of its first, middle and last.
fn frame(work: Work) -> M {
    let at = starts();
    let first = work.row_begin;
    let middle = (work.row_begin + work.row_end) / 2u;
    let last = work.row_end - 1u;
    return median(
        load_x(at, work.start + first * params.row_stride),
        load_x(at, work.start + middle * params.row_stride),
        load_x(at, work.start + last * params.row_stride),
    );
}
