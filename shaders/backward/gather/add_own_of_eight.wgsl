// Takes in those values of an access of eight halves that are the channel's own.
fn add_own(sum: ptr<function, V>, products: ptr<function, V>, loaded: LoadedEight, c: CoefficientsOfEight, own: Truths) {
    let ga = gradient(loaded.a, c.a);
    let gb = gradient(loaded.b, c.b);
    *sum += select(V(0.0), ga, own.a) + select(V(0.0), gb, own.b);
    *products += select(V(0.0), ga * (loaded.a.x - c.a.mean), own.a) + select(V(0.0), gb * (loaded.b.x - c.b.mean), own.b);
}
