// Takes in an access, or two that were loaded together, as deviations from a center.
fn add(sum: ptr<function, V>, squares: ptr<function, V>, x: V, center: M) {
    let a = x - center;
    *sum += a;
    *squares += a * a;
}

fn add_pair(sum: ptr<function, V>, squares: ptr<function, V>, x0: V, x1: V, center: M) {
    let a = x0 - center;
    let b = x1 - center;
    *sum += a + b;
    *squares += a * a + b * b;
}
