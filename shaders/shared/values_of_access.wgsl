// The values of an access from number `first` on.
fn values_from(first: u32) -> Truths {
    return vec4(0u, 1u, 2u, 3u) >= vec4(first);
}

fn other(values: Truths) -> Truths {
    return !values;
}
