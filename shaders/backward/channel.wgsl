// What a channel was normalized by: its mean in two parts, and the inverse standard deviation.
struct Statistics {
    mean: M,
    remainder: M,
    invstd: M,
}

// As far as they are known before the sums.
fn forward_coefficients(group: u32) -> Channel {
    let statistics = statistics_of(group);
    let scale = load_gamma(group) * statistics.invstd;
    return Channel(statistics.mean, scale, load_beta(group) - statistics.remainder * scale, M(0.0), M(0.0));
}

// Once they are.
fn coefficients_of_gradients(group: u32, grad_gamma: M, grad_beta: M) -> Channel {
    var channel = forward_coefficients(group);
    if BATCH {
        let statistics = statistics_of(group);
        channel.slope = statistics.invstd * grad_gamma * params.inverse_count;
        channel.offset = grad_beta * params.inverse_count - statistics.remainder * channel.slope;
    }
    return channel;
}
