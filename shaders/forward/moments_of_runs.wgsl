// Stage, inner contiguous: each row is a split of its channel.
fn go_over(row: Work) {
    let origin = frame(row);
    finish(row, row.group, origin, gather(row, origin));
}
