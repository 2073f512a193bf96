// Nothing tells the gradient of an activation, where there is none.
fn load_evidence(at: Starts, i: u32) -> Evidence {
    return 0u;
}
