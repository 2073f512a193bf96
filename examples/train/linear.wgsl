// A linear layer, there and back: y = x w + b, with x of [rows, inputs] and y of [rows, outputs]. The bias, where there is
// one, is a row of the weights after those of the inputs, as though x had one more column, of ones.

struct Linear {
    rows: u32,
    inputs: u32,
    outputs: u32,
    bias: u32, // 0 or 1
}

@group(0) @binding(0) var<storage, read> layer: Linear;
@group(0) @binding(1) var<storage, read> x: array<f32>;
@group(0) @binding(2) var<storage, read> weights: array<f32>;
@group(0) @binding(3) var<storage, read_write> y: array<f32>;
@group(0) @binding(4) var<storage, read> grad_y: array<f32>;
@group(0) @binding(5) var<storage, read_write> grad_weights: array<f32>;
@group(0) @binding(6) var<storage, read_write> grad_x: array<f32>;

fn input(row: u32, column: u32) -> f32 {
    if column == layer.inputs { return 1.0; }
    return x[row * layer.inputs + column];
}

// One value of y for each lane.
@compute @workgroup_size(64)
fn forward(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / layer.outputs;
    let column = id.x % layer.outputs;
    if row >= layer.rows { return; }
    var sum = 0.0;
    for (var i = 0u; i < layer.inputs + layer.bias; i++) {
        sum += input(row, i) * weights[i * layer.outputs + column];
    }
    y[id.x] = sum;
}

// One weight for each lane: x transposed times the gradient of y.
@compute @workgroup_size(64)
fn weight_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / layer.outputs;
    let column = id.x % layer.outputs;
    if row >= layer.inputs + layer.bias { return; }
    var sum = 0.0;
    for (var r = 0u; r < layer.rows; r++) {
        sum += input(r, row) * grad_y[r * layer.outputs + column];
    }
    grad_weights[id.x] = sum;
}

// One value of x for each lane: the gradient of y times the weights transposed.
@compute @workgroup_size(64)
fn input_gradient(@builtin(global_invocation_id) id: vec3<u32>) {
    let row = id.x / layer.inputs;
    let column = id.x % layer.inputs;
    if row >= layer.rows { return; }
    var sum = 0.0;
    for (var o = 0u; o < layer.outputs; o++) {
        sum += grad_y[row * layer.outputs + o] * weights[column * layer.outputs + o];
    }
    grad_x[id.x] = sum;
}
