// An activation, there and back; its gradient is found from its output.

struct Parameters {
    len: u32,
    kind: u32,
}

const RELU = 1u;
const SIGMOID = 2u;
const TANH = 3u;

@group(0) @binding(1) var<storage, read> z: array<f32>;
@group(0) @binding(2) var<storage, read_write> y: array<f32>;
@group(0) @binding(3) var<storage, read> y_of_forward: array<f32>;
@group(0) @binding(4) var<storage, read_write> grad: array<f32>;

@compute @workgroup_size(64)
fn forward(lane: Lane) {
    let at = number(lane);
    if at >= p.len { return; }
    let value = z[at];
    var activated = value;
    if p.kind == RELU { activated = select(value, 0.0, value < 0.0); }
    if p.kind == SIGMOID { activated = 1.0 / (1.0 + exp(-value)); }
    // tanh() of some drivers overflows where this does not.
    if p.kind == TANH { activated = 1.0 - 2.0 / (1.0 + exp(2.0 * value)); }
    y[at] = activated;
}

// In place: from the gradient of y to that of z.
@compute @workgroup_size(64)
fn backward(lane: Lane) {
    let at = number(lane);
    if at >= p.len { return; }
    let activated = y_of_forward[at];
    var slope = 1.0;
    if p.kind == RELU { slope = select(0.0, 1.0, activated > 0.0); }
    if p.kind == SIGMOID { slope = activated * (1.0 - activated); }
    if p.kind == TANH { slope = 1.0 - activated * activated; }
    grad[at] *= slope;
}
