// z * P(z), P the normal distribution (Hendrycks and Gimpel 2016).

// P(-|z|) by exp(-z^2 / 2): a polynomial in 1 / (1 + 0.4 |z| / sqrt 2), fitted to a relative error of 6e-8.
fn tail_by_bell(z: Z) -> Z {
    let t = 1.0 / (1.0 + 0.2828427124746190 * abs(z));
    var p = t * 0.0206267126;
    p = t * (p - 0.070160538);
    p = t * (p + 0.0419955105);
    p = t * (p + 0.0439800881);
    p = t * (p + 0.0398796424);
    p = t * (p + 0.0966960266);
    p = t * (p + 0.100943938);
    p = t * (p + 0.113221534);
    p = t * (p + 0.112817116);
    return p;
}

fn bell(z: Z) -> Z {
    return exp(-0.5 * z * z);
}

// What is f(-|z|) where f(z) + f(-z) = 1, as P and its slope's do.
fn from_tail(z: Z, tail: Z) -> Z {
    return select(1.0 - tail, tail, z < Z(0.0));
}

fn activate(z: Z) -> Z {
    return z * from_tail(z, tail_by_bell(z) * bell(z));
}

// P(z) + z P'(z), P' the exponential by sqrt(2 pi).
fn backpropagate(dy: Z, z: Z) -> Z {
    return dy * from_tail(z, (tail_by_bell(z) - 0.3989422804014327 * abs(z)) * bell(z));
}
