// 1 / (1 + exp(-z)), without an exponential that overflows.
fn sigmoid(z: Z) -> Z {
    let e = exp(-abs(z));
    return select(Z(1.0), e, z < Z(0.0)) / (1.0 + e);
}
