// Sums over a part of a channel: of g, and of g * (x - mean) with the rounded mean.
struct Gathered {
    g: M,
    gx: M,
}

fn merge(a: Gathered, b: Gathered) -> Gathered {
    return Gathered(a.g + b.g, a.gx + b.gx);
}

// What a lane has gathered so far. Blocks are summed, blocks add up to parts and parts to the total: each sum is short, and
// rounding stays at the last bits however many values there are. A lane with little to walk leaves all in one part.
struct Tally {
    total: Gathered,
    part: Gathered,
    blocks: u32,
}

fn absorb(tally: ptr<function, Tally>, block: Gathered) {
    (*tally).part = merge((*tally).part, block);
    (*tally).blocks += 1u;
    if PARTS && (*tally).blocks == params.block {
        (*tally).total = merge((*tally).total, (*tally).part);
        (*tally).part = Gathered();
        (*tally).blocks = 0u;
    }
}

fn sums_of(tally: Tally) -> Gathered {
    return merge(tally.total, tally.part);
}
