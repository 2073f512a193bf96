// z * sigmoid(z) (Elfwing, Uchibe and Doya 2018).
fn activate(z: V) -> V {
    return z * sigmoid(z);
}

fn backpropagate(dy: V, z: V) -> V {
    let s = sigmoid(z);
    return dy * (s * (1.0 + z * (1.0 - s)));
}
