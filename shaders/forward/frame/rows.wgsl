// What the mean of a unit is counted from: a value of its own, the median of its first, middle and last.
fn frame(work: Work) -> M {
    let at = starts();
    let first = work.row_begin * params.row_stride + work.column_begin;
    let middle = (work.row_begin + work.row_end) / 2u * params.row_stride + (work.column_begin + work.column_end) / 2u;
    let last = (work.row_end - 1u) * params.row_stride + work.column_end - 1u;
    return median(
        load_x_value(at, work.start + first, 0u),
        load_x_value(at, work.start + middle, 0u),
        load_x_value(at, work.start + last, WIDTH - 1u),
    );
}
