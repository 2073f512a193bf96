// z where it is positive, else SLOPE * z; a NaN is not positive.
fn passes(z: V) -> B {
    return z > V(0.0);
}

fn blocked(v: V) -> V {
    return v * SLOPE;
}

fn activate(z: V) -> V {
    return select(z * SLOPE, z, passes(z));
}

fn backpropagate(dy: V, z: V) -> V {
    return select(dy * SLOPE, dy, passes(z));
}
