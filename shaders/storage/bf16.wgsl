// bfloat16: the upper half of binary32. Two values to a word, the first in its lower half.
fn unpack(word: u32) -> vec2<f32> {
    return bitcast<vec2<f32>>(vec2(word << 16u, word & 0xffff0000u));
}

// Rounds to nearest, ties to even; a NaN stays one, made quiet.
fn pack(v: vec2<f32>) -> u32 {
    let bits = bitcast<vec2<u32>>(v);
    let rounded = bits + (((bits >> vec2(16u)) & vec2(1u)) + 0x7fffu);
    let nan = vec2<i32>(bits & vec2(0x7fffffffu)) > vec2(0x7f800000i);
    let half = select(rounded, bits | vec2(0x00400000u), nan);
    return (half.x >> 16u) | (half.y & 0xffff0000u);
}

fn unpack4(words: vec2<u32>) -> vec4<f32> {
    return vec4(unpack(words.x), unpack(words.y));
}
