// Stage, inner contiguous: each row is a split of its channel.
fn go_over(row: Work) {
    finish(row, row.group, gather(row, forward_coefficients(row.group)));
}
