// The identity.
fn activate(z: V) -> V {
    return z;
}
