// The coefficients that the finalize stage left.
fn coefficients(group: u32) -> Coefficients {
    return Coefficients(load_coefficients(0u, group), load_coefficients(1u, group), load_coefficients(2u, group));
}
