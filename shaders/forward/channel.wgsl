// From the moments of whole channels to their coefficients; on the way the statistics are saved and the running ones
// updated, by the one lane that `writes`.
fn finalize(group: u32, frame: M, moments: Moments, writes: bool) -> Coefficients {
    // the correctly rounded mean, and what rounding cut off (Dekker 1971: exact with the larger summand first)
    let mean = opaque(frame + moments.mean);
    let frame_larger = abs(frame) >= abs(moments.mean);
    let larger = select(moments.mean, frame, frame_larger);
    let smaller = select(frame, moments.mean, frame_larger);
    let remainder = (larger - mean) + smaller;

    let variance = moments.m2 * params.inverse_count;
    let invstd = 1.0 / sqrt(variance + params.epsilon);

    if writes && SAVES {
        store_saved(0u, group, mean);
        store_saved(1u, group, remainder);
        store_saved(2u, group, invstd);
    }
    if writes && UPDATES {
        let batches = load_batches(group) + U(1u);
        store_batches(group, batches);
        let factor = select(M(params.update_factor), 1.0 / M(batches), params.cumulative != 0u);
        let running_mean = load_running(0u, group);
        let running_variance = load_running(1u, group);
        store_running(0u, group, running_mean + factor * ((mean - running_mean) + remainder));
        store_running(1u, group, running_variance + factor * (variance * params.bessel - running_variance));
    }

    let scale = load_gamma(group) * invstd;
    return Coefficients(mean, scale, load_beta(group) - remainder * scale);
}
