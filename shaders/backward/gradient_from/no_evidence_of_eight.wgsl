struct NoEvidence {
    a: Evidence,
    b: Evidence,
}

fn load_evidence(at: Starts, i: u32) -> NoEvidence {
    return NoEvidence();
}
