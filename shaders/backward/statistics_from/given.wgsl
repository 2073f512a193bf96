// Running or fixed statistics.
fn statistics_of(group: u32) -> Statistics {
    return Statistics(load_mean(group), M(0.0), 1.0 / sqrt(load_variance(group) + params.epsilon));
}
