// The rows of a table that each member's batch has, and their classes. Which ones is in a schedule of
// [turns, members, rows]; the clock says whose turn it is.

struct Parameters {
    members: u32,
    rows: u32,
    columns: u32,
    turns: u32,
}

@group(0) @binding(1) var<storage, read> clock: u32;
@group(0) @binding(2) var<storage, read> schedule: array<u32>;
@group(0) @binding(3) var<storage, read> table: array<f32>;
@group(0) @binding(4) var<storage, read> classes: array<u32>;
@group(0) @binding(5) var<storage, read_write> x: array<f32>;
@group(0) @binding(6) var<storage, read_write> labels: array<u32>;

// A value of x for each lane: [rows, members, columns].
@compute @workgroup_size(64)
fn main(lane: Lane) {
    let at = number(lane);
    let column = at % p.columns;
    let pair = at / p.columns; // row, member
    let member = pair % p.members;
    let row = pair / p.members;
    if row >= p.rows { return; }
    let turn = clock % p.turns;
    let source = schedule[(turn * p.members + member) * p.rows + row];
    x[at] = table[source * p.columns + column];
    if column == 0u { labels[pair] = classes[source]; }
}
