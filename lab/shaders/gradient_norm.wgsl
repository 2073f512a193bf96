// The Euclidean norm of each member's gradient of the weights of one layer, without the bias. Divided by the largest magnitude first: squares of what
// vanishes or explodes are no f32.

struct Parameters {
    len: u32, // weights of one member
    stride: u32, // with its biases
    layers: u32,
    layer: u32,
    every: u32,
}

@group(0) @binding(1) var<storage, read> clock: u32;
@group(0) @binding(2) var<storage, read> gradients: array<f32>;
@group(0) @binding(3) var<storage, read_write> norms: array<f32>;

var<workgroup> parts: array<f32, 64>;

// A member for each workgroup.
@compute @workgroup_size(64)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let member = group.x;
    let first = member * p.stride;
    var largest = 0.0;
    for (var i = lane; i < p.len; i += 64u) { largest = max(largest, abs(gradients[first + i])); }
    parts[lane] = largest;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { parts[lane] = max(parts[lane], parts[lane + half]); }
        workgroupBarrier();
    }
    largest = parts[0];
    workgroupBarrier();
    let scale = select(1.0, largest, largest > 0.0);
    var sum = 0.0;
    for (var i = lane; i < p.len; i += 64u) {
        let value = gradients[first + i] / scale;
        sum += value * value;
    }
    parts[lane] = sum;
    workgroupBarrier();
    for (var half = 32u; half > 0u; half /= 2u) {
        if lane < half { parts[lane] += parts[lane + half]; }
        workgroupBarrier();
    }
    if lane == 0u {
        norms[(clock / p.every * p.layers + p.layer) * grid.x + member] = scale * sqrt(parts[0]);
    }
}
