// The activation's gradient from its input, computed again from x and the residual: value by value, so that what an
// activation takes on the way is in registers for one value at a time.
alias Evidence = V;

fn load_evidence(at: Starts, i: u32) -> Access {
    return load_residual(at, i);
}

fn gradient_of_value(loaded: Loaded, c: Coefficients, k: u32) -> f32 {
    var z = (loaded.x[k] - c.mean[k]) * c.scale[k] + c.shift[k];
    if RESIDUAL {
        z += loaded.evidence[k];
    }
    return backpropagate(loaded.dy[k], z);
}

fn gradient(loaded: Loaded, c: Coefficients) -> V {
    return V(
        gradient_of_value(loaded, c, 0u),
        gradient_of_value(loaded, c, 1u),
        gradient_of_value(loaded, c, 2u),
        gradient_of_value(loaded, c, 3u),
    );
}
