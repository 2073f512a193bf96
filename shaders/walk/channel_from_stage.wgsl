// The coefficients that the stage before left.
fn channel_of(group: u32) -> Channel {
    return load_channel(group);
}
