// A step of stochastic gradient descent with momentum, or of Adam (Kingma and Ba, 2015), each member by its own learning
// rate.

struct Parameters {
    len: u32,
    stride: u32, // of vectors that lie one after another, each with all members' values
    per_member: u32, // values of a member in such a vector
    members: u32,
    kind: u32,
    momentum: f32, // of Adam the decay of the first moment
    decay: f32, // of the second moment
    epsilon: f32,
}

const SGD = 0u;

@group(0) @binding(1) var<storage, read> clock: u32;
@group(0) @binding(2) var<storage, read> rates: array<f32>;
@group(0) @binding(3) var<storage, read> gradients: array<f32>;
@group(0) @binding(4) var<storage, read_write> values: array<f32>;
@group(0) @binding(5) var<storage, read_write> moments: array<vec2<f32>>;
// For each step what Adam's two moments are of what they will be: 1 - momentum^steps and 1 - decay^steps. From the host, as
// f32 has few digits left of such differences.
@group(0) @binding(6) var<storage, read> parts: array<vec2<f32>>;

@compute @workgroup_size(64)
fn main(lane: Lane) {
    let at = number(lane);
    let member = (at % p.stride) / p.per_member;
    // A vector may be padded.
    if at >= p.len || member >= p.members { return; }
    let gradient = gradients[at];
    var moment = moments[at];
    if p.kind == SGD {
        moment.x = p.momentum * moment.x + gradient;
        values[at] -= rates[member] * moment.x;
    } else {
        moment = vec2<f32>(
            p.momentum * moment.x + (1.0 - p.momentum) * gradient,
            p.decay * moment.y + (1.0 - p.decay) * gradient * gradient,
        );
        let estimates = moment / parts[clock];
        values[at] -= rates[member] * estimates.x / (sqrt(estimates.y) + p.epsilon);
    }
    moments[at] = moment;
}
