// From the sums of whole channels to their coefficients; on the way the gradients of gamma and beta are written, by the one
// lane that `writes`.
fn finalize(group: u32, sums: Gathered, writes: bool) -> Channel {
    let statistics = statistics_of(group);
    let grad_beta = sums.g;
    // of an empty batch no statistics were saved
    let products = (sums.gx - statistics.remainder * sums.g) * statistics.invstd;
    let grad_gamma = select(products, M(0.0), params.inverse_count == 0.0);
    if writes {
        store_grad_gamma(group, grad_gamma);
        store_grad_beta(group, grad_beta);
    }
    return coefficients_of_gradients(group, grad_gamma, grad_beta);
}
