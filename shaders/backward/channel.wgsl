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

// From the sums of whole channels to their coefficients; on the way the gradients of gamma and beta are written, by the one
// lane that `writes`.
fn finalize(group: u32, sums: Gathered, writes: bool) -> Channel {
    let statistics = statistics_of(group);
    let grad_beta = sums.g;
    let grad_gamma = (sums.gx - statistics.remainder * sums.g) * statistics.invstd;
    if writes {
        store_grad_gamma(group, grad_gamma);
        store_grad_beta(group, grad_beta);
    }
    return coefficients_of_gradients(group, grad_gamma, grad_beta);
}

fn coefficients_of_gradients(group: u32, grad_gamma: M, grad_beta: M) -> Channel {
    var channel = forward_coefficients(group);
    if BATCH {
        let statistics = statistics_of(group);
        channel.slope = statistics.invstd * grad_gamma * params.inverse_count;
        channel.offset = grad_beta * params.inverse_count - statistics.remainder * channel.slope;
    }
    return channel;
}
