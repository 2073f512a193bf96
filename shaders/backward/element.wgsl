// What the backward pass makes of values: g = dy * activation'(z), d_residual = g, and
//     dx = gamma * invstd * (g - dbeta / n - xhat * dgamma / n)
// as scale * (g - (x - mean) * slope - offset). The mean is the rounded one; its remainder is in the offset.
struct Loaded {
    x: V,
    dy: V,
    evidence: Evidence,
}

fn grad_input(x: V, g: V, c: Coefficients) -> V {
    var dx = c.scale * g;
    if BATCH {
        dx = c.scale * ((g - (x - c.mean) * c.slope) - c.offset);
    }
    return dx;
}
