// What the forward pass does to one access: y = activation((x - mean) * scale + shift + residual). The mean is the rounded
// one; its remainder is in the shift. Folding the mean into the shift as well would lose everything where it is large.
struct Loaded {
    x: V,
    residual: V,
}

fn load(at: Starts, i: u32) -> Loaded {
    return Loaded(load_x(at, i), load_residual(at, i));
}

fn store(at: Starts, i: u32, loaded: Loaded, c: Coefficients) {
    var z = (loaded.x - c.mean) * c.scale + c.shift;
    if RESIDUAL {
        z += loaded.residual;
    }
    store_y(at, i, activate(z));
}
