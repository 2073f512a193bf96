//! How far the adapter's arithmetic can be trusted: small shaders ask it, and what they find is said in sentences.
//!
//! WGSL leaves much open: whether sums are reassociated, whether there are NaNs and subnormals, how `fma` rounds.

mod arithmetic;
mod probe;
mod subgroups;

use anyhow::Result;
use serde::Serialize;
use wgpu_batchnorm::Gpu;

use arithmetic::{Arithmetic, HalfRounding, Rounding};
use subgroups::{Order, Subgroups};

/// What the adapter does where WGSL leaves it open.
#[derive(Clone, Debug, Serialize)]
pub struct Numerics {
    #[serde(flatten)]
    arithmetic: Arithmetic,
    subgroups: Option<Subgroups>,
}

impl Numerics {
    /// Asks the adapter.
    pub fn probe(gpu: &Gpu) -> Result<Self> {
        Ok(Self {
            arithmetic: Arithmetic::probe(gpu)?,
            subgroups: Subgroups::probe(gpu)?,
        })
    }

    /// What was found, a fact to a sentence.
    pub fn sentences(&self) -> Vec<String> {
        let found = &self.arithmetic;
        let mut said = vec![two_part_mean(found), nan(found)];
        said.push(
            if found.keeps_subnormals {
                "Subnormal results are kept."
            } else {
                "Subnormal results are flushed to zero: variances below 1.2e-38 count as 0."
            }
            .to_owned(),
        );
        said.push(format!(
            "Errors in units in the last place: sum {:.2}, product {:.2}, quotient {:.2}, sqrt {:.2}, inverseSqrt {:.2} \
             (0.5 is exact rounding).",
            found.sum_ulp,
            found.product_ulp,
            found.quotient_ulp,
            found.root_ulp,
            found.inverse_root_ulp
        ));
        said.push(format!(
            "fma(a, b, c) {}; a * b + c {}.",
            rounds(found.fma),
            rounds(found.multiply_then_add)
        ));
        said.push(match found.half {
            HalfRounding::NearestEven => "pack2x16float rounds to nearest even.".to_owned(),
            HalfRounding::TowardZero => "pack2x16float rounds toward zero.".to_owned(),
            HalfRounding::Other => {
                "pack2x16float rounds neither to nearest even nor toward zero.".to_owned()
            }
        });
        said.extend(match &self.subgroups {
            Some(subgroups) => subgroup_sentences(subgroups),
            None => vec!["The device has no subgroups.".to_owned()],
        });
        said
    }
}

fn two_part_mean(found: &Arithmetic) -> String {
    match (
        found.two_part_mean_survives,
        found.two_part_mean_survives_unguarded,
    ) {
        (true, true) => {
            "The mean in two parts survives: what rounding cuts off a sum can be had from it."
        }
        (true, false) => {
            "The mean in two parts survives behind the bit cast; without it the compiler folds (K + d) - K to d."
        }
        (false, _) => {
            "The mean in two parts does not survive: the compiler folds (K + d) - K to d. Results are as far off as f32 \
             means are, which is much where the mean is large."
        }
    }
    .to_owned()
}

fn nan(found: &Arithmetic) -> String {
    let verb = |yes: bool, verb: &str| {
        if yes {
            format!("{verb}s")
        } else {
            format!("does not {verb}")
        }
    };
    format!(
        "A NaN: n != n {}, max(n, 0) {}, select(n, 0, n < 0) {}, arithmetic {}, a test of its bits {}.",
        verb(found.nan_differs_from_itself, "see") + " it",
        verb(found.max_keeps_nan, "keep") + " it",
        verb(found.select_keeps_nan, "keep") + " it",
        verb(found.arithmetic_keeps_nan, "keep") + " it",
        verb(found.bits_tell_nan, "see") + " it"
    )
}

const fn rounds(rounding: Rounding) -> &'static str {
    match rounding {
        Rounding::Once => "rounds once (fused)",
        Rounding::Twice => "rounds twice",
        Rounding::Mixed => "rounds now once, now twice",
    }
}

fn subgroup_sentences(found: &Subgroups) -> Vec<String> {
    let sizes: Vec<String> = found.sizes.iter().map(u32::to_string).collect();
    let order = match found.order {
        Order::OneByOne => "one lane after the other",
        Order::Neighbours => "neighbouring lanes in pairs, then the pairs",
        Order::Halves => "the halves onto each other, again and again",
        Order::Other => "in an order of its own",
    };
    let mut said = vec![
        format!(
            "Subgroups have {} lanes here ({} to {} are possible){}.",
            sizes.join(" or "),
            found.smallest,
            found.largest,
            if found.lanes_in_order {
                ", in the order of the workgroup's lanes"
            } else {
                ", not in the order of the workgroup's lanes"
            }
        ),
        format!(
            "subgroupAdd adds {order}; a sum is off by at most {:.1e} of its values' magnitudes.",
            found.relative_error
        ),
    ];
    if !found.lanes_agree {
        said.push("subgroupAdd gives lanes of one subgroup different sums.".to_owned());
    }
    if !found.repeats {
        said.push("subgroupAdd gives other bits in a second run.".to_owned());
    }
    said
}
