// Stage, values stored as halves with an odd number of them in a row: a word may belong to two channels, so that a lane
// goes from word to word wherever channels start. The words of the window are the columns of one row;
// lanes beyond it have none.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    if work.row >= work.row_end {
        return;
    }
    let at = starts();
    let first = params.first_value + 2u * work.column;
    var channel = (params.first_channel + first / params.inner) % params.channels;
    var position = first % params.inner;
    // from word to word, without a division for each
    let channels_on = 2u * TEAM_COLUMNS / params.inner % params.channels;
    let values_on = 2u * TEAM_COLUMNS % params.inner;
    // a channel's coefficients are kept while words are all its own
    var own = channel_of(channel);
    for (var i = work.column; i < work.column_end; i += TEAM_COLUMNS) {
        var next = own;
        if position + 1u == params.inner {
            next = channel_of(select(channel + 1u, 0u, channel + 1u == params.channels));
        }
        store(at, i, load(at, i), blend(own, next, vec2(false, true)));
        position += values_on;
        let over = position >= params.inner;
        position -= select(0u, params.inner, over);
        let on = channels_on + u32(over);
        if on > 0u {
            channel += on;
            channel -= select(0u, params.channels, channel >= params.channels);
            own = channel_of(channel);
        }
    }
}
