// Stage, inner contiguous: each row is a split of its channels, and the block of each. What the mean of one is counted from is the
// median of three values that are loaded anyway.
fn go_over(row: Work) {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    // the access that the channel before ends in
    var shared_access: Access;
    for (var k = 0u; k < params.row_channels; k++) {
        let part = part_of(k);
        let end = start + part.end;
        var i = start + part.first;
        let first = load_x(at, i);
        let values = first_vector(first);
        let frame = median(values.x, values.y, values.z);
        var sum = V(0.0);
        var squares = V(0.0);
        add_own(&sum, &squares, shared_access, frame, values_from(WIDTH - part.before));
        add(&sum, &squares, first, frame);
        i++;
        // two accesses in flight
        for (; i + 1u < end; i += 2u) {
            let a = load_x(at, i);
            let b = load_x(at, i + 1u);
            add_pair(&sum, &squares, a, b, frame);
        }
        if i < end {
            add(&sum, &squares, load_x(at, i), frame);
        }
        if part.after > 0u {
            shared_access = load_x(at, end);
            add_own(&sum, &squares, shared_access, frame, other(values_from(part.after)));
        }
        let channel = row.group * params.row_channels + k;
        finish(row, channel, frame, moments_about(frame, frame, params.inner, fold(sum), fold(squares)));
    }
}
