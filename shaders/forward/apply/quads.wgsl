// Normalizes quads along their rows: a channel's own accesses, then the one that it shares with the next.
fn normalize(work: Work, coefficients: Coefficients) {
    let y = work.y - work.x;
    let row_stride = params.row_stride;
    for (var row = work.row; row < work.row_end; row++) {
        let start = work.x + row * row_stride;
        for (var k = 0u; k < four_channels(); k++) {
            let quarter = quarter(k);
            let own = of_channel(coefficients, k);
            var i = start + quarter.first_whole;
            let end = start + quarter.end_whole;
            // two accesses in flight
            for (; i + 1u < end; i += 2u) {
                let a = load_x(i);
                let b = load_x(i + 1u);
                store_y(y + i, (a - own.mean) * own.scale + own.shift);
                store_y(y + i + 1u, (b - own.mean) * own.scale + own.shift);
            }
            if i < end {
                store_y(y + i, (load_x(i) - own.mean) * own.scale + own.shift);
            }
            if quarter.after > 0u {
                normalize_shared(end, y + end, coefficients, (end - start) * 4u);
            }
        }
    }
}

struct ChannelCoefficients {
    mean: f32,
    scale: f32,
    shift: f32,
}

fn of_channel(all: Coefficients, k: u32) -> ChannelCoefficients {
    return ChannelCoefficients(component(all.mean, k), component(all.scale, k), component(all.shift, k));
}

// An access that channels share, whose first value is number `at` of the row.
fn normalize_shared(x: u32, y: u32, all: Coefficients, at: u32) {
    let position = vec4(0u, 1u, 2u, 3u) + at;
    let mean = spread(all.mean, position);
    let scale = spread(all.scale, position);
    let shift = spread(all.shift, position);
    store_y(y, (load_x(x) - mean) * scale + shift);
}

// Each channel's number for the values at these positions of a row.
fn spread(channels: M, position: vec4<u32>) -> V {
    var values = V(channels.x);
    values = select(values, V(channels.y), position >= vec4(params.columns));
    values = select(values, V(channels.z), position >= vec4(params.columns * 2u));
    values = select(values, V(channels.w), position >= vec4(params.columns * 3u));
    return values;
}
