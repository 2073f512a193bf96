// Products of matrices, one for each member of a bank: c = a b, with a of [rows, inner] and b of [inner, columns], any
// strides, so that one text serves x w, its gradients, and their transposes. A tile of c for each workgroup, a block of
// 4 x 4 for each of its lanes; tiles of a and b pass through workgroup memory.
//
// Where a has `ones_row` or `ones_inner`, that row or column is of ones and not in memory: so a bias is one more row of
// the weights.

struct Product {
    rows: u32,
    inner: u32,
    columns: u32,
    ones_row: u32,
    ones_inner: u32,
    a_row: u32,
    a_inner: u32,
    a_member: u32,
    b_inner: u32,
    b_column: u32,
    b_member: u32,
    c_row: u32,
    c_member: u32,
}

@group(0) @binding(0) var<storage, read> p: Product;
@group(0) @binding(1) var<storage, read> a: array<f32>;
@group(0) @binding(2) var<storage, read> b: array<f32>;
@group(0) @binding(3) var<storage, read_write> c: array<f32>;

const TILE = 32u;
const DEPTH = 16u;
const QUADS = TILE / 4u;

// By inner index, then by groups of four rows or columns.
var<workgroup> a_tile: array<vec4<f32>, 128>;
var<workgroup> b_tile: array<vec4<f32>, 128>;

fn load_a(member: u32, row: u32, inner: u32) -> f32 {
    if row >= p.rows || inner >= p.inner { return 0.0; }
    if row == p.ones_row || inner == p.ones_inner { return 1.0; }
    return a[member * p.a_member + row * p.a_row + inner * p.a_inner];
}

fn load_b(member: u32, inner: u32, column: u32) -> f32 {
    if inner >= p.inner || column >= p.columns { return 0.0; }
    return b[member * p.b_member + inner * p.b_inner + column * p.b_column];
}

fn store(member: u32, row: u32, first: u32, values: vec4<f32>) {
    if row >= p.rows { return; }
    let at = member * p.c_member + row * p.c_row;
    if first < p.columns { c[at + first] = values.x; }
    if first + 1u < p.columns { c[at + first + 1u] = values.y; }
    if first + 2u < p.columns { c[at + first + 2u] = values.z; }
    if first + 3u < p.columns { c[at + first + 3u] = values.w; }
}

@compute @workgroup_size(64)
fn main(@builtin(workgroup_id) group: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let member = group.z;
    let first_row = group.y * TILE;
    let first_column = group.x * TILE;
    let row_quad = lane / QUADS;
    let column_quad = lane % QUADS;
    var sum0 = vec4<f32>();
    var sum1 = vec4<f32>();
    var sum2 = vec4<f32>();
    var sum3 = vec4<f32>();
    for (var start = 0u; start < p.inner; start += DEPTH) {
        let depth = min(DEPTH, p.inner - start);
        for (var at = lane; at < depth * QUADS; at += 64u) {
            let inner = start + at / QUADS;
            let row = first_row + 4u * (at % QUADS);
            a_tile[at] = vec4<f32>(
                load_a(member, row, inner),
                load_a(member, row + 1u, inner),
                load_a(member, row + 2u, inner),
                load_a(member, row + 3u, inner),
            );
            let column = first_column + 4u * (at % QUADS);
            b_tile[at] = vec4<f32>(
                load_b(member, inner, column),
                load_b(member, inner, column + 1u),
                load_b(member, inner, column + 2u),
                load_b(member, inner, column + 3u),
            );
        }
        workgroupBarrier();
        for (var inner = 0u; inner < depth; inner++) {
            let rows = a_tile[inner * QUADS + row_quad];
            let columns = b_tile[inner * QUADS + column_quad];
            sum0 += rows.x * columns;
            sum1 += rows.y * columns;
            sum2 += rows.z * columns;
            sum3 += rows.w * columns;
        }
        workgroupBarrier();
    }
    let row = first_row + 4u * row_quad;
    let column = first_column + 4u * column_quad;
    store(member, row, column, sum0);
    store(member, row + 1u, column, sum1);
    store(member, row + 2u, column, sum2);
    store(member, row + 3u, column, sum3);
}
