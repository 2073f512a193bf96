// Stage, inner contiguous with few values of a channel in a row (7x7): a unit is rows that go through all channels, walked
// along memory. Jumping from row to row for each channel would lose the processor's prefetcher.

// The coefficients of an access whose first value is value number `position` of `channel`: of that channel, and of the
// next for what is beyond its values.
fn plane_coefficients(channel: u32, position: u32) -> Coefficients {
    let own = params.inner - position;
    let a = channel_of(channel);
    let b = channel_of(channel + u32(own < WIDTH));
    return blend(a, b, vec4(0u, 1u, 2u, 3u) >= vec4(own));
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let at = starts();
    let step = params.row_stride;
    let first = (params.first_column + work.column) * WIDTH;
    // from access to access, without a division for each
    let channels_on = TEAM_COLUMNS * WIDTH / params.inner;
    let values_on = TEAM_COLUMNS * WIDTH % params.inner;
    // four rows a turn; the last ones, which are fewer, one by one
    var row = work.row_begin + 4u * (work.row - work.row_begin);
    while row < work.row_end {
        let four = row + 4u <= work.row_end;
        let start = work.start + row * step;
        let end = start + work.column_end;
        var channel = first / params.inner;
        var position = first % params.inner;
        for (var i = start + work.column; i < end; i += TEAM_COLUMNS) {
            let plane = plane_coefficients(channel, position);
            if four {
                // four rows in flight
                let a = load(at, i);
                let b = load(at, i + step);
                let c = load(at, i + 2u * step);
                let d = load(at, i + 3u * step);
                store(at, i, a, plane);
                store(at, i + step, b, plane);
                store(at, i + 2u * step, c, plane);
                store(at, i + 3u * step, d, plane);
            } else {
                store(at, i, load(at, i), plane);
            }
            position += values_on;
            let over = position >= params.inner;
            position -= select(0u, params.inner, over);
            channel += channels_on + u32(over);
        }
        row += select(1u, 4u * TEAM_ROWS, four);
    }
}
