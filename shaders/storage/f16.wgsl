// binary16. Two values to a word, the first in its lower half.
fn unpack(word: u32) -> vec2<f32> {
    return unpack2x16float(word);
}

// Rounds to nearest, ties to even, which pack2x16float need not; a NaN stays one, made quiet.
fn pack(v: vec2<f32>) -> u32 {
    let bits = bitcast<vec2<u32>>(v);
    let magnitude = bits & vec2(0x7fffffffu);
    // The exponent's bias is 15 for 127; what is too large becomes infinity.
    let even = (magnitude >> vec2(13u)) & vec2(1u);
    var half = min((magnitude + even + 0xc8000fffu) >> vec2(13u), vec2(0x7c00u));
    // Below 2^-14 the steps are those of 2^-24, and so are those of floats from 0.5 to 1: adding 0.5 rounds to them.
    let steps = bitcast<vec2<u32>>(bitcast<vec2<f32>>(magnitude) + 0.5) - 0x3f000000u;
    half = select(half, steps, vec2<i32>(magnitude) < vec2(0x38800000i));
    let nan = vec2(0x7e00u) | ((magnitude >> vec2(13u)) & vec2(0x3ffu));
    half = select(half, nan, vec2<i32>(magnitude) > vec2(0x7f800000i));
    return half.x | (half.y << 16u) | ((bits.x >> 16u) & 0x8000u) | (bits.y & 0x80000000u);
}

fn unpack4(words: vec2<u32>) -> vec4<f32> {
    return vec4(unpack(words.x), unpack(words.y));
}
