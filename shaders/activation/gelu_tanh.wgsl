// z * (1 + tanh(u)) / 2 = z * sigmoid(2 u), u = sqrt(2 / pi) * (z + 0.044715 z^3) (Hendrycks and Gimpel 2016).
const TWICE_ROOT: f32 = 1.5957691216057308;

fn activate(z: V) -> V {
    return z * sigmoid(TWICE_ROOT * (z + 0.044715 * z * z * z));
}

fn backpropagate(dy: V, z: V) -> V {
    let s = sigmoid(TWICE_ROOT * (z + 0.044715 * z * z * z));
    return dy * (s + z * s * (1.0 - s) * (TWICE_ROOT * (1.0 + 0.134145 * z * z)));
}
