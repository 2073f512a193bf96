// A lane's share of a unit stays in registers from its one load to its stores: HELD accesses in HELD_ROWS rows, TEAM_ROWS and
// TEAM_COLUMNS apart. No more are held than cover the unit: only those of the last row and of the last column may lie
// beyond it. What is done to access k is a function of its own, which `each_...` calls for all of them.
const HELD: u32 = HELD_ROWS * HELD_COLUMNS;

struct Reach {
    // Where the unit starts, and the lane's first access.
    unit: u32,
    first: u32,
    row_step: u32,
    // Whether the last row and the last column of the share are the unit's.
    last_row: bool,
    last_column: bool,
}

fn reach_of(work: Work) -> Reach {
    // lanes without a unit hold what is there to be loaded, and store none of it
    let row = select(work.row_begin, work.row, work.valid);
    return Reach(
        work.start,
        work.start + row * params.row_stride + work.column,
        TEAM_ROWS * params.row_stride,
        work.row + (HELD_ROWS - 1u) * TEAM_ROWS < work.row_end,
        work.column + (HELD_COLUMNS - 1u) * TEAM_COLUMNS < work.column_end,
    );
}

// Whether access k is the unit's.
fn is_own(reach: Reach, k: u32) -> bool {
    let row = k / HELD_COLUMNS + 1u < HELD_ROWS || reach.last_row;
    let column = k % HELD_COLUMNS + 1u < HELD_COLUMNS || reach.last_column;
    return row && column;
}

fn index_of(reach: Reach, k: u32) -> u32 {
    return reach.first + k / HELD_COLUMNS * reach.row_step + k % HELD_COLUMNS * TEAM_COLUMNS;
}

// The number of accesses that are the unit's.
fn own_accesses(reach: Reach) -> u32 {
    return (HELD_ROWS - 1u + u32(reach.last_row)) * (HELD_COLUMNS - 1u + u32(reach.last_column));
}

// All loads are issued before anything waits for one. A load within a branch would be waited for there: what is beyond
// the unit is loaded from the unit's start instead, and masked where it is used.
fn hold(share: ptr<function, Share>, k: u32) {
    let reach = (*share).reach;
    (*share).held[k] = load((*share).at, select(reach.unit, index_of(reach, k), is_own(reach, k)));
}
