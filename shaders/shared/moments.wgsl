// Moments of a part of a channel. `mean` counts from a frame that the parts share: a number close to the values, so that
// what is summed is small whatever the values' own size.
struct Moments {
    count: u32,
    mean: M,
    m2: M,
}

fn no_moments() -> Moments {
    return Moments(0u, M(0.0), M(0.0));
}

// Chan, Golub and LeVeque 1979: the moments of two parts together.
fn merge(a: Moments, b: Moments) -> Moments {
    let count = a.count + b.count;
    let share = f32(b.count) / f32(max(count, 1u));
    let delta = b.mean - a.mean;
    return Moments(count, a.mean + delta * share, a.m2 + b.m2 + delta * delta * (f32(a.count) * share));
}

// Merges a block of values that was summed as deviations from `center`. With the running mean for a center a block
// loses nothing to cancellation, and short blocks keep the rounding of long sums out.
fn absorb(total: Moments, frame: M, center: M, count: u32, sum: M, squares: M) -> Moments {
    let shift = sum / f32(count);
    let m2 = squares - sum * shift;
    // not max(): that would turn NaN into 0
    return merge(total, Moments(count, (center - frame) + shift, select(m2, M(0.0), m2 < M(0.0))));
}

// A frame survives an outlier in any one of the three values that it is the median of.
fn median(a: M, b: M, c: M) -> M {
    return max(min(a, b), min(max(a, b), c));
}

// Compilers may reassociate (frame + d) - frame to d: behind integers they cannot see the sum.
fn opaque(value: M) -> M {
    return bitcast<M>(bitcast<U>(value) ^ U(params.zero));
}
