// One access: its loads, and all that follows them.
alias LoadedAccess = Loaded;

fn load(at: Starts, i: u32) -> Loaded {
    return Loaded(load_x(at, i), load_grad_output(at, i), load_evidence(at, i));
}

fn store(at: Starts, i: u32, loaded: Loaded, c: Coefficients) {
    store_gradients(at, i, loaded.x, gradient(loaded, c), c);
}

fn store_gradients(at: Starts, i: u32, x: V, g: V, c: Coefficients) {
    // before either is packed to halves, which takes registers
    let dx = grad_input(x, g, c);
    store_grad_residual(at, i, g);
    store_grad_input(at, i, dx);
}
