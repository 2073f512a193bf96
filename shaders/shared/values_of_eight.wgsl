// The values of an access of eight from number `first` on.
fn values_from(first: u32) -> Truths {
    return Truths(vec4(0u, 1u, 2u, 3u) >= vec4(first), vec4(4u, 5u, 6u, 7u) >= vec4(first));
}

fn other(values: Truths) -> Truths {
    return Truths(!values.a, !values.b);
}
