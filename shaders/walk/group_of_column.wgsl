// The coefficients of an access: those of its group of channels.
fn coefficients_of(column: u32) -> Coefficients {
    return spread(channel_of(column));
}
