// Accesses go two by two through a row from end to end, those that two channels share as well: where a loop leaves out an
// access, a processor's prefetcher loses the row. Numbers of a pair's values:
const FIRST = vec4(0u, 1u, 2u, 3u);
const SECOND = vec4(4u, 5u, 6u, 7u);

// Accesses of a row that go in pairs.
fn whole_pairs() -> u32 {
    return params.columns / 2u * 2u;
}

// The end of the pair that has the last value of channel k, in accesses from the start of the row.
fn end_of_pairs(k: u32) -> u32 {
    return ((k + 1u) * params.columns + 7u) / 8u * 2u;
}

struct PairMask {
    a: vec4<bool>,
    b: vec4<bool>,
}

// The values of channel k in the pair that the channel before ends in: none where it ends with the pair.
fn begins_in_pair(k: u32) -> PairMask {
    let begin = k * params.columns % 8u;
    let count = select(params.columns, 0u, begin == 0u);
    return PairMask(FIRST - begin < vec4(count), SECOND - begin < vec4(count));
}
