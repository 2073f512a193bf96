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
    for (var i = work.column; i < work.column_end; i += TEAM_COLUMNS) {
        let first = params.first_value + 2u * i;
        let a = channel_of((params.first_channel + first / params.inner) % params.channels);
        let b = channel_of((params.first_channel + (first + 1u) / params.inner) % params.channels);
        store(at, i, load(at, i), blend(a, b, vec2(false, true)));
    }
}
