// What the backward pass does to one access: g = dy * activation'(z), d_residual = g, and
//     dx = gamma * invstd * (g - dbeta / n - xhat * dgamma / n)
// as scale * (g - (x - mean) * slope - offset). The mean is the rounded one; its remainder is in the offset.
struct Loaded {
    x: V,
    dy: V,
    evidence: Evidence,
}

fn load(at: Starts, i: u32) -> Loaded {
    return Loaded(load_x(at, i), load_grad_output(at, i), load_evidence(at, i));
}

fn store(at: Starts, i: u32, loaded: Loaded, c: Coefficients) {
    store_gradients(at, i, loaded.x, gradient(loaded, c), c);
}

fn store_gradients(at: Starts, i: u32, x: V, g: V, c: Coefficients) {
    var dx = c.scale * g;
    if BATCH {
        dx = c.scale * ((g - (x - c.mean) * c.slope) - c.offset);
    }
    // before either is packed to halves, which takes registers
    store_grad_residual(at, i, g);
    store_grad_input(at, i, dx);
}
