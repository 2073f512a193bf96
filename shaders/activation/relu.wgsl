// max(z, 0); a NaN stays.
fn passes(z: Z) -> T {
    return !(z <= Z(0.0));
}

fn blocked(v: Z) -> Z {
    return Z(0.0);
}

fn activate(z: Z) -> Z {
    return select(Z(0.0), z, passes(z));
}

fn backpropagate(dy: Z, z: Z) -> Z {
    return select(Z(0.0), dy, passes(z));
}
