//! What the adapter does with single numbers: rounding, NaN, subnormals, and sums that the mean in two parts needs kept.

use anyhow::Result;
use bytemuck::{Pod, Zeroable};
use half::f16;
use serde::Serialize;
use wgpu_batchnorm::Gpu;

use super::probe::{self, Input};
use crate::cli::inputs::Random;

/// Lanes of the probe's workgroup.
const LANES: usize = 64;
/// Random cases of each kind.
const CASES: usize = 1024;
const SUBNORMAL: f32 = 3.0e-39;

/// What a lane is asked.
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
#[repr(C)]
struct Case {
    a: f32,
    b: f32,
    c: f32,
}

/// What it answers, as a struct of Rust and of WGSL.
macro_rules! answers {
    ($($name:ident: $type:ident,)*) => {
        #[derive(Clone, Copy, Debug, Pod, Zeroable)]
        #[repr(C)]
        struct Answers {
            $($name: $type,)*
        }

        const ANSWERS_WGSL: &str = concat!(
            "struct Answers {\n",
            $("    ", stringify!($name), ": ", stringify!($type), ",\n",)*
            "}\n\n",
        );
    };
}

answers! {
    remainder: f32,
    difference: f32,
    plain_remainder: f32,
    plain_difference: f32,
    quotient: f32,
    root: f32,
    inverse_root: f32,
    product: f32,
    sum: f32,
    fused: f32,
    multiply_then_add: f32,
    max_zero: f32,
    clamped: f32,
    packed_halves: u32,
    differs_from_itself: u32,
    bits_say_nan: u32,
}

/// What single operations do.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Arithmetic {
    /// Whether `(K - opaque(K + d)) + d` is what rounding cut off, and `opaque(K + d) - K` the rest of d: the mean in two
    /// parts needs both.
    pub two_part_mean_survives: bool,
    /// Whether they are that also where the compiler sees the sum.
    pub two_part_mean_survives_unguarded: bool,
    /// Whether `n != n` holds for a NaN.
    pub nan_differs_from_itself: bool,
    /// Whether `max(n, 0)` keeps a NaN.
    pub max_keeps_nan: bool,
    /// Whether `select(n, 0, n < 0)` keeps a NaN.
    pub select_keeps_nan: bool,
    /// Whether sums, products, quotients and roots of a NaN are NaN.
    pub arithmetic_keeps_nan: bool,
    /// Whether its bits tell a NaN.
    pub bits_tell_nan: bool,
    /// Whether products and sums keep subnormal results.
    pub keeps_subnormals: bool,
    /// The largest error of `a + b`, in units in the last place.
    pub sum_ulp: f64,
    /// The same of `a * b`.
    pub product_ulp: f64,
    /// The same of `a / b`.
    pub quotient_ulp: f64,
    /// The same of `sqrt(a)`.
    pub root_ulp: f64,
    /// The same of `inverseSqrt(a)`.
    pub inverse_root_ulp: f64,
    /// How `fma(a, b, c)` rounds.
    pub fma: Rounding,
    /// How `a * b + c` rounds.
    pub multiply_then_add: Rounding,
    /// How `pack2x16float` rounds.
    pub half: HalfRounding,
}

/// How a product and a sum round.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum Rounding {
    /// Once, as a fused operation.
    Once,
    /// Twice, as two operations.
    Twice,
    /// Neither on all inputs.
    Mixed,
}

/// How f16 values are made of f32 ones.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum HalfRounding {
    /// To the nearest one, of two to the even one.
    NearestEven,
    /// To the one nearer to zero.
    TowardZero,
    /// Neither on all inputs.
    Other,
}

impl Arithmetic {
    /// Asks the adapter.
    pub fn probe(gpu: &Gpu) -> Result<Self> {
        let cases = cases();
        let all: Vec<Case> = cases.iter().flat_map(|(_, cases)| cases.clone()).collect();
        let answers: Vec<Answers> = probe::run(
            gpu,
            &(ANSWERS_WGSL.to_owned() + include_str!("../../../shaders/probes/arithmetic.wgsl")),
            &[
                Input::Uniform(&[0; 16]),
                Input::Storage(bytemuck::cast_slice(&all)),
            ],
            all.len().div_ceil(LANES) as u32,
            all.len(),
        )?;
        Ok(Self::judge(&cases, &answers))
    }

    /// What the answers to the cases say.
    fn judge(cases: &[(Kind, Vec<Case>)], answers: &[Answers]) -> Self {
        let kinds = cases
            .iter()
            .flat_map(|(kind, cases)| cases.iter().map(move |case| (*kind, *case)));
        let answered: Vec<_> = kinds.zip(answers).collect();
        let of = |wanted: Kind| {
            answered
                .iter()
                .filter(move |((kind, _), _)| *kind == wanted)
                .map(|((_, case), answers)| (case, *answers))
        };
        let all = |kind, holds: &dyn Fn(&Case, &Answers) -> bool| {
            of(kind).all(|(case, answers)| holds(case, answers))
        };
        let worst = |error: &dyn Fn(&Case, &Answers) -> f64| {
            of(Kind::Usual)
                .map(|(case, answers)| error(case, answers))
                .fold(0.0, f64::max)
        };
        let rounding = |given: fn(&Answers) -> f32| {
            if all(Kind::Fused, &|case, answers| given(answers) == once(case)) {
                Rounding::Once
            } else if all(Kind::Fused, &|case, answers| given(answers) == twice(case)) {
                Rounding::Twice
            } else {
                Rounding::Mixed
            }
        };
        let halves = |round: fn(f32) -> f16| {
            all(Kind::Usual, &|case, answers| {
                let [a, b] = [case.a, case.b].map(|value| u32::from(round(value).to_bits()));
                answers.packed_halves == a | b << 16
            })
        };
        Self {
            two_part_mean_survives: all(Kind::TwoPart, &|case, answers| {
                answers.remainder == cut_off(case) && answers.difference == kept(case)
            }),
            two_part_mean_survives_unguarded: all(Kind::TwoPart, &|case, answers| {
                answers.plain_remainder == cut_off(case) && answers.plain_difference == kept(case)
            }),
            nan_differs_from_itself: all(Kind::Nan, &|_, answers| answers.differs_from_itself == 1),
            max_keeps_nan: all(Kind::Nan, &|_, answers| answers.max_zero.is_nan()),
            select_keeps_nan: all(Kind::Nan, &|_, answers| answers.clamped.is_nan()),
            arithmetic_keeps_nan: all(Kind::Nan, &|_, answers| {
                [answers.sum, answers.product, answers.quotient, answers.root]
                    .into_iter()
                    .all(f32::is_nan)
            }),
            bits_tell_nan: all(Kind::Nan, &|_, answers| answers.bits_say_nan == 1)
                && all(Kind::Usual, &|_, answers| answers.bits_say_nan == 0),
            keeps_subnormals: all(Kind::Subnormal, &|case, answers| {
                answers.product == case.a * case.b && answers.sum == case.a + case.b
            }),
            sum_ulp: worst(&|case, answers| {
                ulps(answers.sum, f64::from(case.a) + f64::from(case.b))
            }),
            product_ulp: worst(&|case, answers| {
                ulps(answers.product, f64::from(case.a) * f64::from(case.b))
            }),
            quotient_ulp: worst(&|case, answers| {
                ulps(answers.quotient, f64::from(case.a) / f64::from(case.b))
            }),
            root_ulp: worst(&|case, answers| ulps(answers.root, f64::from(case.a).sqrt())),
            inverse_root_ulp: worst(&|case, answers| {
                ulps(answers.inverse_root, 1.0 / f64::from(case.a).sqrt())
            }),
            fma: rounding(|answers| answers.fused),
            multiply_then_add: rounding(|answers| answers.multiply_then_add),
            half: if halves(f16::from_f32) {
                HalfRounding::NearestEven
            } else if halves(toward_zero) {
                HalfRounding::TowardZero
            } else {
                HalfRounding::Other
            },
        }
    }
}

/// What a case is there to tell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// `a` is a large mean's frame and `b` a small distance from it.
    TwoPart,
    /// Positive numbers, as variances are, within the range of f16.
    Usual,
    /// `a * b` is rounded, and nearly cancelled by `c`.
    Fused,
    /// `a` is NaN.
    Nan,
    /// `a * b` and `a + b` are subnormal.
    Subnormal,
}

fn uniform(random: &mut Random, low: f64, high: f64) -> f32 {
    (low + (high - low) * random.uniform()) as f32
}

/// A number of any of these exponents.
fn scaled(random: &mut Random, least: f64, most: f64) -> f32 {
    2f32.powi(uniform(random, least, most) as i32) * uniform(random, 1.0, 2.0)
}

fn cases() -> Vec<(Kind, Vec<Case>)> {
    let mut random = Random::new(22);
    let mut many = |case: fn(&mut Random) -> Case| -> Vec<Case> {
        (0..CASES).map(|_| case(&mut random)).collect()
    };
    let two_part = many(|random| Case {
        a: scaled(random, 8.0, 24.0),
        b: uniform(random, -1.0, 1.0),
        c: 0.0,
    });
    let usual = many(|random| Case {
        a: scaled(random, -12.0, 14.0),
        b: scaled(random, -12.0, 14.0),
        c: 0.0,
    });
    let fused = many(|random| {
        let [a, b] = [(); 2].map(|()| uniform(random, 1.0, 2.0));
        Case { a, b, c: -(a * b) }
    });
    let nan = [0x7fc0_0000, 0x7f80_0001, 0xffc0_0000, 0x7fff_ffff].map(|bits| Case {
        a: f32::from_bits(bits),
        b: 1.0,
        c: 1.0,
    });
    let subnormal = [(SUBNORMAL, 1.0), (1e-20, 1e-20), (-SUBNORMAL, 0.5)];
    let subnormal = subnormal
        .into_iter()
        // sums of a subnormal and a number are that number
        .chain([(SUBNORMAL, SUBNORMAL), (2e-38, -1.5e-38)])
        .map(|(a, b)| Case { a, b, c: 0.0 })
        .collect();
    vec![
        (Kind::TwoPart, two_part),
        (Kind::Usual, usual),
        (Kind::Fused, fused),
        (Kind::Nan, nan.to_vec()),
        (Kind::Subnormal, subnormal),
    ]
}

/// What rounding cuts off `a + b`, which fits an f32 where `a` is the larger (Dekker 1971).
fn cut_off(case: &Case) -> f32 {
    ((f64::from(case.a) - f64::from(case.a + case.b)) + f64::from(case.b)) as f32
}

/// What rounding keeps of `b` in `a + b`: that too fits an f32.
fn kept(case: &Case) -> f32 {
    (f64::from(case.a + case.b) - f64::from(case.a)) as f32
}

/// `a * b + c`, rounded once: the product of two f32 is exact in f64, and so is a sum that nearly cancels.
fn once(case: &Case) -> f32 {
    (f64::from(case.a) * f64::from(case.b) + f64::from(case.c)) as f32
}

fn twice(case: &Case) -> f32 {
    case.a * case.b + case.c
}

fn toward_zero(value: f32) -> f16 {
    let nearest = f16::from_f32(value);
    if nearest.to_f32().abs() > value.abs() {
        f16::from_bits(nearest.to_bits() - 1)
    } else {
        nearest
    }
}

/// The error of a result in units in the last place of the exact value, which is a normal number.
fn ulps(given: f32, exact: f64) -> f64 {
    let exponent = exact.abs().log2().floor().clamp(-126.0, 127.0);
    (f64::from(given) - exact).abs() / 2f64.powf(exponent - 23.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What an adapter answers that does as IEEE 754 says.
    fn ieee(case: &Case) -> Answers {
        let Case { a, b, c } = *case;
        let halves = [a, b].map(|value| u32::from(f16::from_f32(value).to_bits()));
        Answers {
            remainder: (a - (a + b)) + b,
            difference: (a + b) - a,
            plain_remainder: (a - (a + b)) + b,
            plain_difference: (a + b) - a,
            quotient: a / b,
            root: a.sqrt(),
            inverse_root: 1.0 / a.sqrt(),
            product: a * b,
            sum: a + b,
            fused: a.mul_add(b, c),
            multiply_then_add: a * b + c,
            max_zero: if a < 0.0 { 0.0 } else { a },
            clamped: if a < 0.0 { 0.0 } else { a },
            packed_halves: halves[0] | halves[1] << 16,
            differs_from_itself: u32::from(a.is_nan()),
            bits_say_nan: u32::from(a.is_nan()),
        }
    }

    fn judged(answer: impl Fn(&Case) -> Answers) -> Arithmetic {
        let cases = cases();
        let answers: Vec<_> = cases
            .iter()
            .flat_map(|(_, cases)| cases.iter().map(&answer))
            .collect();
        Arithmetic::judge(&cases, &answers)
    }

    #[test]
    fn arithmetic_by_the_standard_is_found_so() {
        let found = judged(ieee);
        assert!(found.two_part_mean_survives && found.two_part_mean_survives_unguarded);
        assert!(found.nan_differs_from_itself && found.max_keeps_nan && found.select_keeps_nan);
        assert!(found.arithmetic_keeps_nan && found.bits_tell_nan && found.keeps_subnormals);
        for error in [
            found.sum_ulp,
            found.product_ulp,
            found.quotient_ulp,
            found.root_ulp,
        ] {
            assert!(error > 0.4 && error <= 0.5, "{error}");
        }
        assert!(found.inverse_root_ulp > 0.5 && found.inverse_root_ulp < 1.5);
        assert_eq!(
            (found.fma, found.multiply_then_add, found.half),
            (Rounding::Once, Rounding::Twice, HalfRounding::NearestEven)
        );
    }

    #[test]
    fn every_departure_is_found() {
        let flush = |value: f32| if value.is_subnormal() { 0.0 } else { value };
        let found = judged(|case| {
            let Case { a, b, c } = *case;
            let quiet = |value: f32| if value.is_nan() { 0.0 } else { value };
            let halves = [a, b].map(|value| u32::from(toward_zero(value).to_bits()));
            Answers {
                difference: b,
                plain_difference: b,
                quotient: a * (1.0 / b),
                root: f32::from_bits(a.sqrt().to_bits() + 2),
                sum: flush(a + b),
                product: flush(a * b),
                fused: a * b + c,
                multiply_then_add: a.mul_add(b, c),
                max_zero: quiet(a),
                clamped: quiet(a),
                packed_halves: halves[0] | halves[1] << 16,
                differs_from_itself: 0,
                bits_say_nan: 1,
                ..ieee(case)
            }
        });
        assert!(!found.two_part_mean_survives && !found.two_part_mean_survives_unguarded);
        assert!(!found.nan_differs_from_itself && !found.max_keeps_nan && !found.select_keeps_nan);
        assert!(!found.bits_tell_nan && !found.keeps_subnormals);
        assert!(found.quotient_ulp > 0.5 && found.root_ulp > 1.5);
        assert_eq!(
            (found.fma, found.multiply_then_add, found.half),
            (Rounding::Twice, Rounding::Once, HalfRounding::TowardZero)
        );
        let found = judged(|case| Answers {
            sum: 0.0,
            packed_halves: 0,
            fused: 1.0,
            ..ieee(case)
        });
        assert!(!found.arithmetic_keeps_nan && found.sum_ulp > 1e6);
        assert_eq!(
            (found.fma, found.half),
            (Rounding::Mixed, HalfRounding::Other)
        );
    }
}
