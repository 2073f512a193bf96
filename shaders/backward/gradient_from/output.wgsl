// The activation's gradient from its output, whose sign is that of its input.
alias Evidence = V;

fn load_evidence(at: Starts, i: u32) -> Access {
    return load_y(at, i);
}

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    return backpropagate(loaded.dy, loaded.evidence);
}
