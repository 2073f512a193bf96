// y = (x - mean) * scale + shift. The mean is the rounded one; its remainder is in the shift. Folding the mean into the
// shift as well would lose everything where it is large.
struct Coefficients {
    mean: M,
    scale: M,
    shift: M,
}
