// Takes in an access of eight halves, or two that were loaded together.
fn add(sum: ptr<function, V>, products: ptr<function, V>, loaded: LoadedEight, c: CoefficientsOfEight) {
    let ga = gradient(loaded.a, c.a);
    let gb = gradient(loaded.b, c.b);
    *sum += ga + gb;
    *products += ga * (loaded.a.x - c.a.mean) + gb * (loaded.b.x - c.b.mean);
}

fn add_pair(sum: ptr<function, V>, products: ptr<function, V>, a: LoadedEight, b: LoadedEight, c: CoefficientsOfEight) {
    add(sum, products, a, c);
    add(sum, products, b, c);
}
