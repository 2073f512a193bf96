// One more turn is done.
@group(0) @binding(1) var<storage, read_write> clock: u32;

@compute @workgroup_size(1)
fn main() {
    clock += 1u;
}
