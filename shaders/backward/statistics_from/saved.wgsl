// The batch's statistics, as the forward pass saved them.
fn statistics_of(group: u32) -> Statistics {
    return Statistics(load_saved(0u, group), load_saved(1u, group), load_saved(2u, group));
}
