// The identity.
fn activate(z: Z) -> Z {
    return z;
}
