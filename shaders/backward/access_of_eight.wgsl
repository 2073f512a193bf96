// One access of eight halves, which is two vectors: its loads, and all that follows them.
struct LoadedEight {
    a: Loaded,
    b: Loaded,
}

alias LoadedAccess = LoadedEight;

fn load(at: Starts, i: u32) -> LoadedEight {
    let x = load_x(at, i);
    let dy = load_grad_output(at, i);
    let evidence = load_evidence(at, i);
    return LoadedEight(Loaded(x.a, dy.a, evidence.a), Loaded(x.b, dy.b, evidence.b));
}

fn store(at: Starts, i: u32, loaded: LoadedEight, c: CoefficientsOfEight) {
    let g = Access(gradient(loaded.a, c.a), gradient(loaded.b, c.b));
    let dx = Access(grad_input(loaded.a.x, g.a, c.a), grad_input(loaded.b.x, g.b, c.b));
    store_grad_residual(at, i, g);
    store_grad_input(at, i, dx);
}

// What is there already, and what is added to it.
fn add_access(before: Access, v: Access) -> Access {
    return Access(before.a + v.a, before.b + v.b);
}
