// Stochastic gradient descent.

override LEARNING_RATE: f32;

@group(0) @binding(0) var<storage, read_write> parameters: array<f32>;
@group(0) @binding(1) var<storage, read> gradients: array<f32>;

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x < arrayLength(&parameters) {
        parameters[id.x] -= LEARNING_RATE * gradients[id.x];
    }
}
