// What an adapter does with numbers, one lane to a case: see src/cli/numerics/arithmetic.rs,
// which has the fields of `Answers`.

struct Params {
    // 0, which the compiler does not know
    zero: u32,
}

struct Case {
    a: f32,
    b: f32,
    c: f32,
}

@group(0) @binding(0) var<uniform> params: Params;
@group(0) @binding(1) var<storage, read> cases: array<Case>;
@group(0) @binding(2) var<storage, read_write> answers: array<Answers>;

// As in forward/moments.wgsl.
fn opaque(value: f32) -> f32 {
    return bitcast<f32>(bitcast<u32>(value) ^ params.zero);
}

@compute @workgroup_size(64)
fn main(@builtin(global_invocation_id) id: vec3<u32>) {
    if id.x >= arrayLength(&cases) {
        return;
    }
    let a = cases[id.x].a;
    let b = cases[id.x].b;
    let c = cases[id.x].c;
    answers[id.x] = Answers(
        // forward/moments.wgsl's remainder of the mean, where a is the larger summand
        (a - opaque(a + b)) + b,
        // and its center of a block, as far as it is from the frame
        opaque(a + b) - a,
        (a - (a + b)) + b,
        (a + b) - a,
        a / b,
        sqrt(a),
        inverseSqrt(a),
        a * b,
        a + b,
        fma(a, b, c),
        a * b + c,
        max(a, 0.0),
        select(a, 0.0, a < 0.0),
        pack2x16float(vec2(a, b)),
        u32(a != a),
        u32((bitcast<u32>(a) & 0x7fffffffu) > 0x7f800000u),
    );
}
