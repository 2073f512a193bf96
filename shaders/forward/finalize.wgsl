// Stage: a unit is a channel; its rows are the channel's partials, whose frames differ.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let frame = median(
        partial_mean(work, 0u),
        partial_mean(work, params.rows / 2u),
        partial_mean(work, params.rows - 1u),
    );
    // partials merge into parts and parts into the total, as values do: see Tally
    var total = no_moments();
    var row = work.row;
    while row < work.row_end {
        let stop = min(work.row_end, row + params.block * TEAM_ROWS);
        var part = no_moments();
        for (; row < stop; row += TEAM_ROWS) {
            let partial = load_partial(work.x + row * params.row_stride);
            let mean = (bitcast<f32>(partial.y) - frame) + bitcast<f32>(partial.z);
            part = merge(part, Moments(partial.x, mean, bitcast<f32>(partial.w)));
        }
        total = merge(total, part);
    }
    let moments = combine(invocation, total);
    let coefficients = finalize(work.group, frame, moments, work.leads);
    if work.leads {
        store_coefficients(0u, work.group, coefficients.mean);
        store_coefficients(1u, work.group, coefficients.scale);
        store_coefficients(2u, work.group, coefficients.shift);
    }
}

fn partial_mean(work: Work, row: u32) -> f32 {
    let part = load_partial(work.x + row * params.row_stride);
    return bitcast<f32>(part.y) + bitcast<f32>(part.z);
}
