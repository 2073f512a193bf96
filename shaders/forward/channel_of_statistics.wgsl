// The coefficients of running or fixed statistics.
fn channel_of(group: u32) -> Channel {
    let scale = load_gamma(group) * (1.0 / sqrt(load_variance(group) + params.epsilon));
    return Channel(load_mean(group), scale, load_beta(group));
}
