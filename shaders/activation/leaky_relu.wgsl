// z where it is positive, else SLOPE * z.
fn passes(z: V) -> B {
    return !(z <= V(0.0));
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
