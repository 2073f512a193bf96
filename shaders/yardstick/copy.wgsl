// Copies x to y: the traffic that normalizing a tensor cannot do without, and nothing else.
//
// A team of TEAM neighbouring lanes walks a contiguous chunk of the range, the teams of a workgroup neighbouring
// chunks. Trip counts come from the uniform: constant ones would be unrolled without end by some drivers.

override LANES: u32 = 64;
override TEAM: u32 = 64;

struct Range {
    // In accesses of the entry point: vec4s, or values for `scalar`.
    start: u32,
    end: u32,
    // Accesses of one team.
    chunk: u32,
    // Workgroups in one row of the grid.
    row: u32,
}

@group(0) @binding(0) var<uniform> range: Range;
@group(0) @binding(1) var<storage, read> x: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> y: array<vec4<f32>>;
// The same bindings, for the entry point that reads single values.
@group(0) @binding(1) var<storage, read> x_values: array<f32>;
@group(0) @binding(2) var<storage, read_write> y_values: array<f32>;

struct Walk {
    at: u32,
    end: u32,
}

fn walk(workgroup: vec3<u32>, lane: u32) -> Walk {
    let team = (workgroup.y * range.row + workgroup.x) * (LANES / TEAM) + lane / TEAM;
    let start = range.start + team * range.chunk;
    return Walk(start + lane % TEAM, min(start + range.chunk, range.end));
}

@compute @workgroup_size(LANES)
fn scalar(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = walk(workgroup, lane);
    for (var i = own.at; i < own.end; i += TEAM) {
        y_values[i] = x_values[i];
    }
}

@compute @workgroup_size(LANES)
fn one(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = walk(workgroup, lane);
    for (var i = own.at; i < own.end; i += TEAM) {
        y[i] = x[i];
    }
}

@compute @workgroup_size(LANES)
fn two(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = walk(workgroup, lane);
    var i = own.at;
    for (; i + TEAM < own.end; i += 2u * TEAM) {
        let a = x[i];
        let b = x[i + TEAM];
        y[i] = a;
        y[i + TEAM] = b;
    }
    if i < own.end {
        y[i] = x[i];
    }
}

@compute @workgroup_size(LANES)
fn four(@builtin(workgroup_id) workgroup: vec3<u32>, @builtin(local_invocation_index) lane: u32) {
    let own = walk(workgroup, lane);
    var i = own.at;
    for (; i + 3u * TEAM < own.end; i += 4u * TEAM) {
        let a = x[i];
        let b = x[i + TEAM];
        let c = x[i + 2u * TEAM];
        let d = x[i + 3u * TEAM];
        y[i] = a;
        y[i + TEAM] = b;
        y[i + 2u * TEAM] = c;
        y[i + 3u * TEAM] = d;
    }
    for (; i < own.end; i += TEAM) {
        y[i] = x[i];
    }
}
