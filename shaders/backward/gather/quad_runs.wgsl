// Sums of one row of a quad, channel by channel: a channel's own accesses, and its values in those that it shares.
fn gather(row: Work, channel: Channel) -> Gathered {
    let at = starts();
    let start = row.start + row.row * params.row_stride;
    let positions = vec4(0u, 1u, 2u, 3u);
    var sums: Gathered;
    // the access that the channel before ends in
    var last: Loaded;
    for (var k = 0u; k < four_channels(); k++) {
        let quarter = quarter(k);
        let c = spread_one(channel, k);
        let end = start + quarter.end_whole;
        var own: ChannelSums;
        add(&own, last, c, positions + quarter.before >= vec4(4u));
        for (var i = start + quarter.first_whole; i < end; i++) {
            add(&own, load(at, i), c, vec4(true));
        }
        if quarter.after > 0u {
            last = load(at, end);
            add(&own, last, c, positions < vec4(quarter.after));
        }
        sums.g += with_channel(M(0.0), k, sum4(own.g));
        sums.gx += with_channel(M(0.0), k, sum4(own.gx));
    }
    return sums;
}
