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
    let consequence = if found.select_keeps_nan && found.arithmetic_keeps_nan {
        ""
    } else {
        " A NaN in a channel may not show in its results."
    };
    format!(
        "A NaN: n != n {}, max(n, 0) {}, select(n, 0, n < 0) {}, arithmetic {}, a test of its bits {}.{consequence}",
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

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn usual() -> Numerics {
        Numerics {
            arithmetic: Arithmetic {
                two_part_mean_survives: true,
                two_part_mean_survives_unguarded: true,
                nan_differs_from_itself: true,
                max_keeps_nan: true,
                select_keeps_nan: true,
                arithmetic_keeps_nan: true,
                bits_tell_nan: true,
                keeps_subnormals: true,
                sum_ulp: 0.5,
                product_ulp: 0.5,
                quotient_ulp: 2.5,
                root_ulp: 0.5,
                inverse_root_ulp: 2.0,
                fma: Rounding::Once,
                multiply_then_add: Rounding::Mixed,
                half: HalfRounding::NearestEven,
            },
            subgroups: Some(Subgroups {
                smallest: 32,
                largest: 64,
                sizes: BTreeSet::from([32, 64]),
                lanes_in_order: true,
                order: Order::Halves,
                lanes_agree: true,
                repeats: true,
                relative_error: 1e-7,
            }),
        }
    }

    #[track_caller]
    fn says(numerics: &Numerics, parts: &[&str]) {
        let text = numerics.sentences().join("\n");
        for part in parts {
            assert!(text.contains(part), "{part} in {text}");
        }
    }

    #[test]
    fn what_is_as_it_should_be_is_said() {
        says(
            &usual(),
            &[
                "in two parts survives:",
                "n != n sees it, max(n, 0) keeps it",
                "arithmetic keeps it",
                "Subnormal results are kept",
                "quotient 2.50",
                "fma(a, b, c) rounds once (fused); a * b + c rounds now once",
                "to nearest even",
                "Subgroups have 32 or 64 lanes here (32 to 64 are possible), in the order",
                "the halves onto each other",
            ],
        );
        assert!(!usual().sentences().join(" ").contains("not"));
    }

    #[test]
    fn what_is_not_is_said_with_its_consequence() {
        let mut bad = usual();
        bad.arithmetic.two_part_mean_survives = false;
        bad.arithmetic.select_keeps_nan = false;
        bad.arithmetic.keeps_subnormals = false;
        bad.arithmetic.half = HalfRounding::Other;
        if let Some(subgroups) = &mut bad.subgroups {
            subgroups.lanes_agree = false;
            subgroups.repeats = false;
            subgroups.lanes_in_order = false;
        }
        says(
            &bad,
            &[
                "does not survive",
                "n < 0) does not keep it",
                "may not show in its results",
                "flushed to zero",
                "neither to nearest",
                "not in the order",
                "different sums",
                "other bits in a second run",
            ],
        );
        bad.subgroups = None;
        says(&bad, &["no subgroups"]);
    }
}
