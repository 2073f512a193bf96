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
    let small = vec2<i32>(magnitude) < vec2(0x38800000i);
    if any(small) {
        // Below 2^-14 the steps are those of 2^-24.
        let mantissa = (magnitude & vec2(0x7fffffu)) | vec2(0x800000u);
        let shift = min(126u - (magnitude >> vec2(23u)), vec2(25u));
        let below_half = (vec2(1u) << (shift - 1u)) - 1u;
        half = select(half, (mantissa + below_half + ((mantissa >> shift) & vec2(1u))) >> shift, small);
    }
    let nan = vec2(0x7e00u) | ((magnitude >> vec2(13u)) & vec2(0x3ffu));
    half = select(half, nan, vec2<i32>(magnitude) > vec2(0x7f800000i)) | ((bits >> vec2(16u)) & vec2(0x8000u));
    return half.x | (half.y << 16u);
}

fn unpack4(words: vec2<u32>) -> vec4<f32> {
    return vec4(unpack(words.x), unpack(words.y));
}
