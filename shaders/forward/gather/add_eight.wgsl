// Takes in an access of eight halves, or two that were loaded together, as deviations from a center.
fn add(sum: ptr<function, V>, squares: ptr<function, V>, x: Access, center: M) {
    let a = x.a - center;
    let b = x.b - center;
    *sum += a + b;
    *squares += a * a + b * b;
}

fn add_pair(sum: ptr<function, V>, squares: ptr<function, V>, x0: Access, x1: Access, center: M) {
    add(sum, squares, x0, center);
    add(sum, squares, x1, center);
}
