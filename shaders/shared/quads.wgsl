// Inner contiguous with an odd inner size (7x7) and channels in fours: a unit is four channels, or a split of them; a row
// is their plane of `columns` aligned vec4, of which each channel has the next quarter. A unit belongs to one lane.

fn positions(column: u32) -> vec4<u32> {
    return column * 4u + vec4(0u, 1u, 2u, 3u);
}

// Each channel's own number, for the values of one access.
fn spread(channels: M, column: u32) -> V {
    let at = positions(column);
    var values = V(channels.x);
    values = select(values, V(channels.y), at >= vec4(params.columns));
    values = select(values, V(channels.z), at >= vec4(params.columns * 2u));
    values = select(values, V(channels.w), at >= vec4(params.columns * 3u));
    return values;
}

// The sum per channel of the values of one access.
fn collect(values: V, column: u32) -> M {
    let channel = vec4<u32>(positions(column) >= vec4(params.columns)) + vec4<u32>(positions(column) >= vec4(params.columns * 2u))
        + vec4<u32>(positions(column) >= vec4(params.columns * 3u));
    return M(
        sum4(select(V(0.0), values, channel == vec4(0u))),
        sum4(select(V(0.0), values, channel == vec4(1u))),
        sum4(select(V(0.0), values, channel == vec4(2u))),
        sum4(select(V(0.0), values, channel == vec4(3u))),
    );
}

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}
