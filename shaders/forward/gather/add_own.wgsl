// Takes in those values of an access that are the channel's own.
fn add_own(sum: ptr<function, V>, squares: ptr<function, V>, x: Access, center: M, own: Truths) {
    let a = select(V(0.0), x - center, own);
    *sum += a;
    *squares += a * a;
}

fn first_vector(x: Access) -> V {
    return x;
}
