// One access: its loads, and all that follows them.
fn load(at: Starts, i: u32) -> Loaded {
    return Loaded(load_x(at, i), load_residual(at, i));
}

fn store(at: Starts, i: u32, loaded: Loaded, c: Coefficients) {
    store_y(at, i, output(loaded, c));
}
