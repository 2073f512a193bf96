// bfloat16: the upper half of binary32. Two values to a word, the first in its lower half.
fn unpack(word: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2(word << 16u, word & 0xffff0000u));
}

// Rounds to nearest, ties to even; a NaN stays one, made quiet.
fn pack(v: vec2<f32>) -> u32 {
    let bits = bitcast<vec2<u32>>(v);
    let rounded = bits + (vec2(0x7fffu) + ((bits >> vec2(16u)) & vec2(1u)));
    let nan = (bits & vec2(0x7fffffffu)) > vec2(0x7f800000u);
    let half = select(rounded, bits | vec2(0x00400000u), nan) >> vec2(16u);
    return half.x | (half.y << 16u);
}
