// z * (1 + tanh(u)) / 2 = z * sigmoid(2 u), u = sqrt(2 / pi) * (z + 0.044715 z^3) (Hendrycks and Gimpel 2016).
const TWICE_ROOT: f32 = 1.5957691216057308;

fn activate(z: Z) -> Z {
    return z * sigmoid(TWICE_ROOT * (z + 0.044715 * z * z * z));
}

fn backpropagate(dy: Z, z: Z) -> Z {
    let u = TWICE_ROOT * (z + 0.044715 * z * z * z);
    // before the exponential, after which z is needed no longer
    let slope = z * (TWICE_ROOT * (1.0 + 0.134145 * z * z));
    let s = sigmoid(u);
    return dy * (s + s * (1.0 - s) * slope);
}
