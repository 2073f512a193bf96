// From the moments of whole channels to their coefficients; on the way the statistics are saved and the running ones
// updated, by the one lane that `writes`.
fn finalize(group: u32, frame: M, moments: Moments, writes: bool) -> Channel {
    let exact = mean_in_two_parts(frame, moments.mean);
    let mean = exact.mean;
    let remainder = exact.remainder;
    let variance = moments.m2 * inverse_count(moments.count);
    let invstd = 1.0 / sqrt(variance + params.epsilon);

    if writes && SAVES {
        store_saved(0u, group, mean);
        store_saved(1u, group, remainder);
        store_saved(2u, group, invstd);
    }
    if writes && UPDATES && moments.count > 0u {
        let batches = load_batches(group) + U(1u);
        store_batches(group, batches);
        let factor = select(M(params.update_factor), 1.0 / M(batches), params.cumulative != 0u);
        let running_mean = load_running(0u, group);
        let running_variance = load_running(1u, group);
        store_running(0u, group, running_mean + factor * ((mean - running_mean) + remainder));
        store_running(1u, group, running_variance + factor * (variance * bessel(moments.count) - running_variance));
    }

    let scale = load_gamma(group) * invstd;
    return Channel(mean, scale, load_beta(group) - remainder * scale);
}

// 1 / n, and the factor that makes the variance the running one's: from the host, or counted where parts of the batch come
// from elsewhere.
fn inverse_count(count: u32) -> f32 {
    if SHARDED {
        return 1.0 / f32(max(count, 1u));
    }
    return params.inverse_count;
}

fn bessel(count: u32) -> f32 {
    if SHARDED && params.unbiased != 0u {
        return f32(count) / f32(count - 1u);
    }
    return params.bessel;
}
