// The number of a lane in a grid of two dimensions, which the files after this one are written with.
@group(0) @binding(0) var<storage, read> p: Parameters;

struct Lane {
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(num_workgroups) grid: vec3<u32>,
}

fn number(lane: Lane) -> u32 {
    return lane.id.x + lane.id.y * lane.grid.x * 64u;
}

// WGSL may take it that there are no such values; their bits are there all the same.
fn is_finite(value: f32) -> bool {
    return (bitcast<u32>(value) & 0x7f800000u) != 0x7f800000u;
}
