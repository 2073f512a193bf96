// Stage, inner contiguous: each row is a split of its channels.
fn go_over(row: Work) {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    // the access that the channel before ends in
    var shared_access: LoadedAccess;
    for (var k = 0u; k < params.row_channels; k++) {
        let part = part_of(k);
        let channel = row.group * params.row_channels + k;
        let c = spread(forward_coefficients(channel));
        let end = start + part.end;
        var sum = V(0.0);
        var products = V(0.0);
        add_own(&sum, &products, shared_access, c, values_from(WIDTH - part.before));
        for (var i = start + part.first; i < end; i++) {
            add(&sum, &products, load(at, i), c);
        }
        if part.after > 0u {
            shared_access = load(at, end);
            add_own(&sum, &products, shared_access, c, other(values_from(part.after)));
        }
        finish(row, channel, Gathered(fold(sum), fold(products)));
    }
}
