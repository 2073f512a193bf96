// How an adapter's subgroups add: see src/cli/numerics/subgroups.rs.

struct Lane {
    sum: f32,
    subgroup: u32,
    subgroup_lane: u32,
    subgroup_size: u32,
}

@group(0) @binding(0) var<storage, read> values: array<f32>;
@group(0) @binding(1) var<storage, read_write> lanes: array<Lane>;

@compute @workgroup_size(256)
fn main(
    @builtin(global_invocation_id) id: vec3<u32>,
    @builtin(subgroup_id) subgroup: u32,
    @builtin(subgroup_invocation_id) subgroup_lane: u32,
    @builtin(subgroup_size) subgroup_size: u32,
) {
    lanes[id.x] = Lane(subgroupAdd(values[id.x]), subgroup, subgroup_lane, subgroup_size);
}
