// What the forward pass makes of values: y = activation((x - mean) * scale + shift + residual). The mean is the rounded
// one; its remainder is in the shift. Folding the mean into the shift as well would lose everything where it is large.
struct Loaded {
    x: V,
    residual: V,
}

fn output(loaded: Loaded, c: Coefficients) -> V {
    var z = (loaded.x - c.mean) * c.scale + c.shift;
    if RESIDUAL {
        z += loaded.residual;
    }
    return activate(z);
}
