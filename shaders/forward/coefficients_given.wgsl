// The coefficients of running or fixed statistics.
fn coefficients(group: u32) -> Coefficients {
    let scale = load_gamma(group) * (1.0 / sqrt(load_variance(group) + params.epsilon));
    return Coefficients(load_mean(group), scale, load_beta(group));
}
