// Stage: coefficients from the gradients of gamma and beta that the caller gives: sums over all shards of a batch.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    if work.leads {
        let grad_gamma = load_grad_gamma(work.group);
        store_channel(work.group, coefficients_of_gradients(work.group, grad_gamma, load_grad_beta(work.group)));
    }
}
