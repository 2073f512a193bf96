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
    for (var i = work.column; i < work.column_end; i += TEAM_COLUMNS) {
        let following = select(channel + 1u, 0u, channel + 1u == params.channels);
        let a = channel_of(channel);
        let b = channel_of(select(channel, following, position + 1u == params.inner));
        store(at, i, load(at, i), blend(a, b, vec2(false, true)));
        position += values_on;
        let over = position >= params.inner;
        position -= select(0u, params.inner, over);
        channel += channels_on + u32(over);
        channel -= select(0u, params.channels, channel >= params.channels);
    }
}
