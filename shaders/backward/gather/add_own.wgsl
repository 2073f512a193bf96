// Of one channel of a quad, access by access.
struct ChannelSums {
    g: V,
    gx: V,
}

// Takes in the values of an access that are the channel's own.
fn add(sums: ptr<function, ChannelSums>, a: Loaded, c: Coefficients, own: vec4<bool>) {
    let g = gradient(a, c);
    (*sums).g += select(V(0.0), g, own);
    (*sums).gx += select(V(0.0), g * (a.x - c.mean), own);
}
