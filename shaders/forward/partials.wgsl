// A unit is a channel; its rows are the channel's partials, whose frames differ.
fn frame_of_partials(work: Work) -> f32 {
    return median(
        partial_mean(work, 0u),
        partial_mean(work, params.rows / 2u),
        partial_mean(work, max(params.rows, 1u) - 1u),
    );
}

// The mean of a partial; an empty shard has none, so that the next one's is taken.
fn partial_mean(work: Work, row: u32) -> f32 {
    var at = row;
    var part = load_partial(work.start + at * params.row_stride);
    if SHARDED {
        for (var tried = 1u; part.x == 0u && tried < params.rows; tried++) {
            at = select(at + 1u, 0u, at + 1u == params.rows);
            part = load_partial(work.start + at * params.row_stride);
        }
    }
    return bitcast<f32>(part.y) + bitcast<f32>(part.z);
}

// Partials merge into parts and parts into the total, as values do: see Tally.
fn gather_partials(work: Work, frame: f32) -> Moments {
    var total = no_moments();
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block * TEAM_ROWS);
        var part = no_moments();
        for (; row < stop; row += TEAM_ROWS) {
            let partial = load_partial(work.start + row * params.row_stride);
            let mean = (bitcast<f32>(partial.y) - frame) + bitcast<f32>(partial.z);
            part = merge(part, Moments(partial.x, mean, bitcast<f32>(partial.w)));
        }
        total = merge(total, part);
    }
    return total;
}
