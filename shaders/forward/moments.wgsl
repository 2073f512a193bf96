// Moments of a part of a channel. `mean` counts from a frame that the parts share: a number close to the values, so that
// what is summed is small whatever the values' own size.
struct Moments {
    count: u32,
    mean: M,
    m2: M,
}

alias Gathered = Moments;

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

// What a lane has gathered so far. Blocks are summed, blocks merge into parts and parts into the total: each sum is short,
// and rounding stays at the last bit however many values there are. A lane with little to walk leaves all in one part.
struct Tally {
    total: Moments,
    part: Moments,
    // What the values of the next block are subtracted from: the mean so far, so that sums of squares lose nothing to
    // cancellation.
    center: M,
}

// The first block has no mean yet to go by: it is short, and blocks grow from it to `params.block` accesses.
const FIRST_BLOCK: u32 = 16u;
const BLOCK_GROWTH: u32 = 8u;

fn new_tally(frame: M) -> Tally {
    return Tally(no_moments(), no_moments(), frame);
}

// The moments of values that were summed as deviations from a center.
fn moments_about(center: M, frame: M, count: u32, sum: M, squares: M) -> Moments {
    let shift = sum / f32(count);
    let m2 = squares - sum * shift;
    // not max(): that would turn NaN into 0
    return Moments(count, (center - frame) + shift, select(m2, M(0.0), m2 < M(0.0)));
}

// Takes in a block of values that were summed as deviations from the tally's center.
fn absorb(tally: ptr<function, Tally>, frame: M, count: u32, sum: M, squares: M) {
    let block = moments_about((*tally).center, frame, count, sum, squares);
    (*tally).part = merge((*tally).part, block);
    (*tally).center = opaque(frame + (*tally).part.mean);
    if PARTS && (*tally).part.count >= params.part {
        (*tally).total = merge((*tally).total, (*tally).part);
        (*tally).part = no_moments();
    }
}

fn moments_of(tally: Tally) -> Moments {
    return merge(tally.total, tally.part);
}

// A frame survives an outlier in any one of the three values that it is the median of.
fn median(a: M, b: M, c: M) -> M {
    return max(min(a, b), min(max(a, b), c));
}

// Compilers may reassociate (frame + d) - frame to d: behind integers they cannot see the sum.
fn opaque(value: M) -> M {
    return bitcast<M>(bitcast<U>(value) ^ U(params.zero));
}

struct ExactMean {
    mean: M,
    remainder: M,
}

// The correctly rounded mean, and what rounding cut off (Dekker 1971: exact with the larger summand first).
fn mean_in_two_parts(frame: M, from_frame: M) -> ExactMean {
    let mean = opaque(frame + from_frame);
    let frame_larger = abs(frame) >= abs(from_frame);
    let larger = select(from_frame, frame, frame_larger);
    let smaller = select(frame, from_frame, frame_larger);
    return ExactMean(mean, (larger - mean) + smaller);
}
