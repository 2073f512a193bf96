//! The fields of a tuning as a search goes over them: one line for each.

use std::fmt;

use super::{MOST, MOST_ACCESSES, Team, Tuning};
use crate::limits::Limits;

/// A field of [`Tuning`], as a search goes over it: its name, its value in words, and other values that are worth trying.
///
/// Which fields make a difference to a pass is no part of this: plans tell, which are equal where they run the same.
///
/// ```
/// use wgpu_batchnorm::{Inference, Limits, Plan, Shape, Tuning};
///
/// let limits = Limits::default();
/// let tuning = Tuning::for_limits(&limits);
/// let shape = Shape::channels_first(&[32, 64, 56, 56])?;
/// let plan = |tuning| Plan::inference(&limits, shape, &Inference::default().tuning(tuning));
/// let usual = plan(tuning.clone())?;
/// for field in Tuning::fields() {
///     for other in field.variations(&tuning, &limits) {
///         if plan(other.clone())? != usual {
///             println!("{} = {} is worth measuring", field.name(), field.value(&other));
///         }
///     }
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone, Copy)]
pub struct TuningField {
    name: &'static str,
    value: fn(&Tuning) -> String,
    variations: fn(&Tuning, &Limits) -> Vec<Tuning>,
}

impl TuningField {
    /// The field's name.
    pub const fn name(&self) -> &'static str {
        self.name
    }

    /// The value that a tuning has.
    pub fn value(&self, tuning: &Tuning) -> String {
        (self.value)(tuning)
    }

    /// The tuning with each other value of the field that is worth trying on a device of these limits. All pass
    /// [`Tuning::check`].
    pub fn variations(&self, tuning: &Tuning, limits: &Limits) -> Vec<Tuning> {
        let mut all = (self.variations)(tuning, limits);
        all.retain(|other| other != tuning && other.check(limits).is_ok());
        all
    }
}

impl fmt::Debug for TuningField {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("TuningField").field(&self.name).finish()
    }
}

/// For each field a function from its value and the limits to the values that are worth trying, in any order: the value itself
/// and what the limits forbid may be among them.
macro_rules! fields {
    ($($field:ident: $values:expr,)*) => {
        pub(super) const FIELDS: &[TuningField] = &[$(TuningField {
            name: stringify!($field),
            value: |tuning| text(tuning.$field),
            variations: |tuning, limits| {
                let values = $values(tuning.$field, limits);
                let with = |$field| Tuning { $field, ..tuning.clone() };
                values.into_iter().map(with).collect()
            },
        },)*];

        // A field of the struct that is not in the list does not compile.
        const _: fn(&Tuning) = |Tuning { $($field: _,)* }| ();
    };
}

fields! {
    workgroup_size: |_, limits: &Limits| powers_of_two(limits.workgroup_size),
    team: |_, _: &Limits| [Team::Lane, Team::Workgroup],
    workgroups: |value, _: &Limits| scaled(value),
    values_per_workgroup: |value, _: &Limits| scaled(value),
    // beyond, rounding errors grow
    block: |_, _: &Limits| [8, 16, 32, 64, 128],
    tile_rows: |value, _: &Limits| scaled(value),
    // thresholds: never and always
    fused_bytes: |_, _: &Limits| [0, u64::MAX],
    cache_bytes: |_, _: &Limits| [0, u64::MAX],
    run_bytes: |_, _: &Limits| [0, 4 << 10, 16 << 10, u64::MAX],
    shortest_run: |_, _: &Limits| [0, 4, 16, 64],
    run_tensors: |_, _: &Limits| [1, 2, 6],
    walk_pages: |value, _: &Limits| scaled(value),
    resident_accesses: |_, _: &Limits| [0, 4, 8, MOST_ACCESSES],
    resident_workgroups: |value, _: &Limits| scaled(value),
    paired_tensors: |_, _: &Limits| [0, 2, 3, 5],
    paired_columns: |_, _: &Limits| [0, 2, 3, 5],
    paired_rows: |_, _: &Limits| [0, 2, 3, 5],
    wide_halves: |_, _: &Limits| [false, true],
}

/// From 4, the smallest subgroup there is, up to a limit.
fn powers_of_two(limit: u32) -> Vec<u32> {
    let largest = limit.max(1).ilog2();
    (2..=largest).map(|power| 1 << power).collect()
}

/// A few steps up and down, by factors of two.
fn scaled(value: u32) -> Vec<u32> {
    let down = [4, 2].map(|divisor| (value / divisor).max(1));
    let up = [2, 4].map(|factor| value.saturating_mul(factor).min(MOST));
    [down, up].concat()
}

fn text(value: impl fmt::Display) -> String {
    let text = value.to_string();
    if text == u64::MAX.to_string() {
        "unlimited".into()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::AdapterKind;

    #[test]
    fn every_field_varies_alone_and_within_the_limits() {
        for adapter in [AdapterKind::Cpu, AdapterKind::Discrete] {
            for workgroup_memory in [4 << 10, 16 << 10] {
                let limits = Limits {
                    adapter,
                    workgroup_memory,
                    ..Limits::default()
                };
                let tuning = Tuning::for_limits(&limits);
                for field in FIELDS {
                    let others = field.variations(&tuning, &limits);
                    assert!(!others.is_empty(), "{field:?}");
                    for other in &others {
                        assert_eq!(other.check(&limits), Ok(()));
                        let changed: Vec<_> = FIELDS
                            .iter()
                            .filter(|field| field.value(&tuning) != field.value(other))
                            .map(TuningField::name)
                            .collect();
                        assert_eq!(changed, [field.name]);
                    }
                }
            }
        }
    }

    #[test]
    fn names_are_those_of_the_struct() {
        let json = serde_json::to_value(Tuning::for_limits(&Limits::default()));
        let json = json.expect("plain data");
        let mut names: Vec<_> = FIELDS.iter().map(TuningField::name).collect();
        names.sort_unstable();
        assert!(names.iter().eq(json.as_object().expect("a map").keys()));
    }
}
