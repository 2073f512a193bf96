// Inner contiguous with an odd inner size (7x7) and channels in fours: a unit is four channels, or a split of them; a row
// is their plane of `columns` aligned vec4, of which each channel has the next quarter. A unit belongs to one lane.

// Four, as a number that the compiler does not know: unrolled, the loop over the channels would not fit a processor's
// cache of decoded instructions.
fn four_channels() -> u32 {
    return 4u + params.zero;
}

// A number per channel, with channel k's replaced.
fn with_channel(m: M, k: u32, value: f32) -> M {
    return select(m, M(value), vec4(0u, 1u, 2u, 3u) == vec4(k));
}

fn sum4(v: vec4<f32>) -> f32 {
    return (v.x + v.y) + (v.z + v.w);
}

// Each channel's number for the values at these positions of a row.
fn by_position(channels: M, position: vec4<u32>) -> V {
    var values = V(channels.x);
    values = select(values, V(channels.y), position >= vec4(params.columns));
    values = select(values, V(channels.z), position >= vec4(params.columns * 2u));
    values = select(values, V(channels.w), position >= vec4(params.columns * 3u));
    return values;
}
