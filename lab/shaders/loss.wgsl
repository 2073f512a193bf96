// The loss of each row of each member, and the gradient of a member's mean loss by its outputs.

struct Parameters {
    members: u32,
    rows: u32,
    classes: u32,
    kind: u32,
}

const CROSS_ENTROPY = 0u;

@group(0) @binding(1) var<storage, read> outputs: array<f32>;
@group(0) @binding(2) var<storage, read> labels: array<u32>;
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;

// A row of a member for each lane: [rows, members].
@compute @workgroup_size(64)
fn main(lane: Lane) {
    let at = number(lane);
    if at >= p.rows * p.members { return; }
    let first = at * p.classes;
    let label = labels[at];
    let share = 1.0 / f32(p.rows);
    if p.kind == CROSS_ENTROPY {
        var largest = outputs[first];
        for (var c = 1u; c < p.classes; c++) { largest = max(largest, outputs[first + c]); }
        var sum = 0.0;
        for (var c = 0u; c < p.classes; c++) { sum += exp(outputs[first + c] - largest); }
        for (var c = 0u; c < p.classes; c++) {
            let probability = exp(outputs[first + c] - largest) / sum;
            grad[first + c] = (probability - select(0.0, 1.0, c == label)) * share;
        }
        losses[at] = log(sum) - (outputs[first + label] - largest);
    } else {
        // The mean over classes of squared differences to a one at the label, zeros elsewhere.
        var sum = 0.0;
        for (var c = 0u; c < p.classes; c++) {
            let difference = outputs[first + c] - select(0.0, 1.0, c == label);
            sum += difference * difference;
            grad[first + c] = 2.0 * difference * share / f32(p.classes);
        }
        losses[at] = sum / f32(p.classes);
    }
}
