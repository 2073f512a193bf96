// Takes in those values of an access that are the channel's own.
fn add_own(sum: ptr<function, V>, products: ptr<function, V>, a: Loaded, c: Coefficients, own: Truths) {
    let g = gradient(a, c);
    *sum += select(V(0.0), g, own);
    *products += select(V(0.0), g * (a.x - c.mean), own);
}
