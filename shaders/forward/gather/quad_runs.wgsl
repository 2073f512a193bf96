// Moments of quads row by row: each row is a split of its four channels, and the block of one. What the mean of a channel is counted
// from is the median of three values that are loaded anyway; every channel has an access of its own.
fn go_over(row: Work) {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    let positions = vec4(0u, 1u, 2u, 3u);
    var centers: M;
    var sums: M;
    var squares: M;
    // the access that the channel before ends in
    var last: V;
    for (var k = 0u; k < four_channels(); k++) {
        let quarter = quarter(k);
        let end = start + quarter.end_whole;
        var i = start + quarter.first_whole;
        let first = load_x(at, i);
        let center = median(M(first.x), M(first.y), M(first.z)).x;
        var channel = ChannelSums(first - center, (first - center) * (first - center));
        add(&channel, last - center, positions + quarter.before >= vec4(4u));
        for (i += 1u; i < end; i++) {
            let a = load_x(at, i) - center;
            channel.sum += a;
            channel.squares += a * a;
        }
        if quarter.after > 0u {
            last = load_x(at, end);
            add(&channel, last - center, positions < vec4(quarter.after));
        }
        centers = with_channel(centers, k, center);
        sums = with_channel(sums, k, sum4(channel.sum));
        squares = with_channel(squares, k, sum4(channel.squares));
    }
    finish(row, row.group, centers, moments_about(centers, centers, params.columns, sums, squares));
}

// Of one channel, access by access.
struct ChannelSums {
    sum: V,
    squares: V,
}

// Takes in the values of an access that are the channel's own.
fn add(sums: ptr<function, ChannelSums>, deviation: V, own: vec4<bool>) {
    let a = select(V(0.0), deviation, own);
    (*sums).sum += a;
    (*sums).squares += a * a;
}
