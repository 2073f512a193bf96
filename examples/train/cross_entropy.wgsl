// Softmax and cross-entropy: each row's share of the mean loss, and the gradient of the mean loss by the logits.

override CLASSES: u32;

@group(0) @binding(0) var<storage, read> logits: array<f32>;
@group(0) @binding(1) var<storage, read> labels: array<u32>;
@group(0) @binding(2) var<storage, read_write> losses: array<f32>;
@group(0) @binding(3) var<storage, read_write> grad_logits: array<f32>;

// One row for each lane.
@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    let rows = arrayLength(&labels);
    if id.x >= rows { return; }
    let first = id.x * CLASSES;
    var largest = logits[first];
    for (var c = 1u; c < CLASSES; c++) { largest = max(largest, logits[first + c]); }
    var sum = 0.0;
    for (var c = 0u; c < CLASSES; c++) { sum += exp(logits[first + c] - largest); }
    for (var c = 0u; c < CLASSES; c++) {
        let probability = exp(logits[first + c] - largest) / sum;
        let wanted = f32(c == labels[id.x]);
        grad_logits[first + c] = (probability - wanted) / f32(rows);
    }
    let right = logits[first + labels[id.x]] - largest;
    losses[id.x] = (log(sum) - right) / f32(rows);
}
