// Stage, inner contiguous: of rows one after another, each by the coefficients of its channel.
fn go_over(row: Work) {
    apply(row, channel_of(row.group));
}
