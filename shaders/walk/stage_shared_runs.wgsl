// Stage, inner contiguous: of rows one after another, whose channels share accesses, each access by the coefficients of its channel
// or of both.
fn go_over(row: Work) {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    let first_channel = row.group * params.row_channels;
    var own = channel_of(first_channel);
    for (var k = 0u; k < params.row_channels; k++) {
        let part = part_of(k);
        let c = spread(own);
        let end = start + part.end;
        for (var i = start + part.first; i < end; i++) {
            store(at, i, load(at, i), c);
        }
        if k + 1u < params.row_channels {
            let next = channel_of(first_channel + k + 1u);
            if part.after > 0u {
                store(at, end, load(at, end), blend(own, next, values_from(part.after)));
            }
            own = next;
        }
    }
}
