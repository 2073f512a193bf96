// The activation's gradient from its input, computed again from x and the residual.
alias Evidence = V;

fn load_evidence(at: Starts, i: u32) -> Access {
    return load_residual(at, i);
}

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    var z = (loaded.x - c.mean) * c.scale + c.shift;
    if RESIDUAL {
        z += loaded.evidence;
    }
    return backpropagate(loaded.dy, z);
}
