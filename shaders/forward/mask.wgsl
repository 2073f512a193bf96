// Stage: one bit for each value of y, from the first value of a window on: whether the activation lets its gradient pass.
// A lane makes whole words of the mask.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    if work.row >= work.row_end {
        return;
    }
    let at = starts();
    let accesses = 32u / WIDTH;
    for (var word = work.column; word < work.column_end; word += TEAM_COLUMNS) {
        var bits = 0u;
        for (var k = 0u; k < accesses; k++) {
            let i = word * accesses + k;
            if i * WIDTH < params.values {
                bits |= bits_of(passes(load_y(at, i))) << (k * WIDTH);
            }
        }
        store_mask(at, word, bits);
    }
}
