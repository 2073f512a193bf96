// Stage: a unit is a channel; its rows are the channel's partials.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    var tally = Tally();
    for (var row = work.row; row < work.row_end; row += TEAM_ROWS) {
        let partial = load_partial(work.start + row * params.row_stride);
        absorb(&tally, Gathered(bitcast<f32>(partial.x), bitcast<f32>(partial.y)));
    }
    let channel = finalize(work.group, combine(invocation, sums_of(tally)), work.leads);
    if work.leads {
        store_channel(work.group, channel);
    }
}
