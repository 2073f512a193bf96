// What is kept of a pass: for each member the sum of its rows' losses, and how many rows it has right. A row whose outputs
// are not all finite is wrong.

struct Parameters {
    members: u32,
    rows: u32,
    classes: u32,
    turns: u32, // passes whose sums are one
}

@group(0) @binding(1) var<storage, read> clock: u32;
@group(0) @binding(2) var<storage, read> outputs: array<f32>;
@group(0) @binding(3) var<storage, read> labels: array<u32>;
@group(0) @binding(4) var<storage, read> losses: array<f32>;
@group(0) @binding(5) var<storage, read_write> history: array<vec2<f32>>;

fn is_right(at: u32) -> bool {
    let first = at * p.classes;
    let label = labels[at];
    let wanted = outputs[first + label];
    var finite = true;
    var right = true;
    for (var c = 0u; c < p.classes; c++) {
        let other = outputs[first + c];
        finite = finite && is_finite(other);
        // Of equal outputs the first wins.
        right = right && (c == label || other < wanted || (other == wanted && c > label));
    }
    return finite && right;
}

var<workgroup> sums: array<vec2<f32>, 64>;

// A member for each workgroup.
@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let member = group.x;
    var sum = vec2<f32>();
    for (var row = lane; row < p.rows; row += 64u) {
        let at = row * p.members + member;
        sum += vec2<f32>(losses[at], select(0.0, 1.0, is_right(at)));
    }
    sums[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { sums[lane] += sums[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u { history[clock / p.turns * p.members + member] += sums[0]; }
}
