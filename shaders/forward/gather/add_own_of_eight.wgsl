// Takes in those values of an access of eight halves that are the channel's own.
fn add_own(sum: ptr<function, V>, squares: ptr<function, V>, x: Access, center: M, own: Truths) {
    let a = select(V(0.0), x.a - center, own.a);
    let b = select(V(0.0), x.b - center, own.b);
    *sum += a + b;
    *squares += a * a + b * b;
}

fn first_vector(x: Access) -> V {
    return x.a;
}
