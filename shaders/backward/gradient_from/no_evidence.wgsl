fn load_evidence(at: Starts, i: u32) -> Evidence {
    return 0u;
}
