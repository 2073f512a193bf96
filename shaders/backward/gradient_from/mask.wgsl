// The activation's gradient from the mask that the forward pass wrote.
alias Evidence = B;

fn load_evidence(at: Starts, i: u32) -> Truths {
    return load_mask(at, i);
}

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    return select(blocked(loaded.dy), loaded.dy, loaded.evidence);
}
