// z * sigmoid(z) (Elfwing, Uchibe and Doya 2018).
fn activate(z: Z) -> Z {
    return z * sigmoid(z);
}

fn backpropagate(dy: Z, z: Z) -> Z {
    let s = sigmoid(z);
    return dy * (s * (1.0 + z * (1.0 - s)));
}
