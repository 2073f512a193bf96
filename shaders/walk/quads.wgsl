// Goes over quads along their rows: a channel's own accesses, then the one that it shares with the next.

fn apply(work: Work, channel: Channel) {
    let at = starts();
    let row_stride = params.row_stride;
    for (var row = work.row; row < work.row_end; row++) {
        let start = work.start + row * row_stride;
        for (var k = 0u; k < four_channels(); k++) {
            let part = part_of(k);
            let own = spread_one(channel, k);
            var i = start + part.first;
            let end = start + part.end;
            // two accesses in flight
            for (; PAIRS && i + 1u < end; i += 2u) {
                let a = load(at, i);
                let b = load(at, i + 1u);
                store(at, i, a, own);
                store(at, i + 1u, b, own);
            }
            // one is left at most, but for accesses that go one by one
            if PAIRS {
                if i < end {
                    store(at, i, load(at, i), own);
                }
            } else {
                for (; i < end; i++) {
                    store(at, i, load(at, i), own);
                }
            }
            if part.after > 0u {
                // its first value is number `4 * (end - start)` of the row
                let position = vec4(0u, 1u, 2u, 3u) + (end - start) * 4u;
                store(at, end, load(at, end), spread_positions(channel, position));
            }
        }
    }
}
