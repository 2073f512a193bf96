// Without an activation the gradient of z is that of y.
alias Evidence = u32;

fn load_evidence(at: Starts, i: u32) -> Evidence {
    return 0u;
}

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    return loaded.dy;
}
