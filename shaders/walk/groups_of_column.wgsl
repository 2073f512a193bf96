// The coefficients of an access of eight halves: those of two groups of channels.
fn coefficients_of(column: u32) -> CoefficientsOfEight {
    return spread(Channels(channel_of(2u * column), channel_of(2u * column + 1u)));
}
