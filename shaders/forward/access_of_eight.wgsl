// One access of eight halves, which is two vectors: its loads, and all that follows them.
struct LoadedEight {
    a: Loaded,
    b: Loaded,
}

fn load(at: Starts, i: u32) -> LoadedEight {
    let x = load_x(at, i);
    let residual = load_residual(at, i);
    return LoadedEight(Loaded(x.a, residual.a), Loaded(x.b, residual.b));
}

fn store(at: Starts, i: u32, loaded: LoadedEight, c: CoefficientsOfEight) {
    store_y(at, i, Access(output(loaded.a, c.a), output(loaded.b, c.b)));
}
