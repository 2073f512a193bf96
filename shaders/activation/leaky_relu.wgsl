// z where it is positive, else SLOPE * z; a NaN is not positive.
fn passes(z: Z) -> T {
    return z > Z(0.0);
}

fn blocked(v: Z) -> Z {
    return v * SLOPE;
}

fn activate(z: Z) -> Z {
    return select(z * SLOPE, z, passes(z));
}

fn backpropagate(dy: Z, z: Z) -> Z {
    return select(dy * SLOPE, dy, passes(z));
}
