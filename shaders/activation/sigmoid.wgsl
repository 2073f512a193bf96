// 1 / (1 + exp(-z)), without an exponential that overflows.
fn sigmoid(z: V) -> V {
    let e = exp(-abs(z));
    return select(V(1.0), e, z < V(0.0)) / (1.0 + e);
}
