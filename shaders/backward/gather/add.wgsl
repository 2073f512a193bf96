// Takes in an access, or two that were loaded together.
fn add(sum: ptr<function, V>, products: ptr<function, V>, a: Loaded, c: Coefficients) {
    let g = gradient(a, c);
    *sum += g;
    *products += g * (a.x - c.mean);
}

fn add_pair(sum: ptr<function, V>, products: ptr<function, V>, a: Loaded, b: Loaded, c: Coefficients) {
    let ga = gradient(a, c);
    let gb = gradient(b, c);
    *sum += ga + gb;
    *products += ga * (a.x - c.mean) + gb * (b.x - c.mean);
}
