// Without an activation the gradient of z is that of y.
alias Evidence = u32;

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    return loaded.dy;
}
