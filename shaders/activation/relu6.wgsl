// min(max(z, 0), 6); a NaN stays.
fn passes(z: Z) -> T {
    return !((z <= Z(0.0)) | (z >= Z(6.0)));
}

fn blocked(v: Z) -> Z {
    return Z(0.0);
}

fn activate(z: Z) -> Z {
    return select(select(z, Z(0.0), z <= Z(0.0)), Z(6.0), z >= Z(6.0));
}

fn backpropagate(dy: Z, z: Z) -> Z {
    return select(Z(0.0), dy, passes(z));
}
