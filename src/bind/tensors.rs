//! The caller's tensors, checked against the plan.

use crate::error::BindError;
use crate::packed::Packed;
use crate::plan::{Plan, Role};
use crate::tensor::{Buffers, Tensor};

/// A tensor as the caller gave it.
struct Given<'a> {
    name: &'static str,
    tensor: Tensor<'a>,
    /// Values that the plan needs.
    needed: u64,
    writes: bool,
}

/// The tensors of a step by role: each of the right length, within its buffer and apart from the others.
pub(super) struct Tensors<'a> {
    by_role: Vec<(Role, Tensor<'a>)>,
}

impl<'a> Tensors<'a> {
    pub fn check(plan: &Plan, buffers: &Buffers<'a>, alignment: u64) -> Result<Self, BindError> {
        let given = given(plan, buffers)?;
        for Given {
            name: tensor,
            tensor: at,
            needed,
            ..
        } in &given
        {
            let scratch = *tensor == "workspace" && at.len() >= *needed;
            if at.len() != *needed && !scratch {
                return Err(BindError::Length {
                    tensor,
                    given: at.len(),
                    needed: *needed,
                });
            }
            let multiple = if *tensor == "workspace" { alignment } else { 4 };
            if !at.offset().is_multiple_of(multiple) {
                return Err(BindError::Offset {
                    tensor,
                    given: at.offset(),
                    needed: multiple,
                });
            }
            if at.end() > at.buffer().size() {
                return Err(BindError::Range {
                    tensor,
                    end: at.end(),
                    size: at.buffer().size(),
                });
            }
            if !at.buffer().usage().contains(wgpu::BufferUsages::STORAGE) {
                return Err(BindError::Usage {
                    tensor,
                    given: at.buffer().usage(),
                });
            }
        }
        check_apart(plan, &given)?;
        Ok(Self {
            by_role: by_role(plan, buffers),
        })
    }

    /// The tensor of a role; none where the plan has no use for it.
    pub fn get(&self, role: Role) -> Option<Tensor<'a>> {
        let found = self.by_role.iter().find(|(named, _)| *named == role);
        found.map(|&(_, tensor)| tensor)
    }

    /// Whether x and y may be accessed by vec4.
    pub fn aligned(&self) -> bool {
        [Role::X, Role::Y]
            .iter()
            .filter_map(|&role| self.get(role))
            .all(|tensor| tensor.offset().is_multiple_of(16))
    }
}

/// Everything the caller gave, once it is clear that nothing is missing, superfluous or given twice.
fn given<'a>(plan: &Plan, buffers: &Buffers<'a>) -> Result<Vec<Given<'a>>, BindError> {
    let needs = plan.needs();
    let channels = plan.shape().channels();
    let packed = Packed::new(channels);
    let values = plan.shape().len();

    for (tensor, is_given, is_needed) in [
        ("gamma", buffers.gamma.is_some(), needs.gamma),
        ("beta", buffers.beta.is_some(), needs.beta),
        (
            "parameters",
            buffers.parameters.is_some(),
            needs.gamma || needs.beta,
        ),
        (
            "running",
            buffers.running.is_some(),
            needs.running || needs.given,
        ),
        ("statistics", buffers.statistics.is_some(), needs.given),
        ("saved", buffers.saved.is_some(), needs.saved),
    ] {
        if is_given && !is_needed {
            return Err(BindError::Unused { tensor });
        }
    }
    for (first, second, both) in [
        (
            "gamma",
            "parameters",
            buffers.gamma.is_some() && buffers.parameters.is_some(),
        ),
        (
            "beta",
            "parameters",
            buffers.beta.is_some() && buffers.parameters.is_some(),
        ),
        (
            "running",
            "statistics",
            buffers.running.is_some() && buffers.statistics.is_some(),
        ),
    ] {
        if both {
            return Err(BindError::Twice { first, second });
        }
    }
    for (tensor, is_given, is_needed) in [
        (
            "gamma",
            buffers.gamma.or(buffers.parameters).is_some(),
            needs.gamma,
        ),
        (
            "beta",
            buffers.beta.or(buffers.parameters).is_some(),
            needs.beta,
        ),
        ("running", buffers.running.is_some(), needs.running),
        (
            "running or statistics",
            buffers.running.is_some() || buffers.statistics.is_some(),
            needs.given,
        ),
        ("saved", buffers.saved.is_some(), needs.saved),
    ] {
        if is_needed && !is_given {
            return Err(BindError::Missing { tensor });
        }
    }

    let (mean, variance) = buffers.statistics.unzip();
    let all = [
        ("x", Some(buffers.x), values, false),
        ("y", Some(buffers.y), values, true),
        ("parameters", buffers.parameters, packed.parameters(), false),
        ("gamma", buffers.gamma, channels, false),
        ("beta", buffers.beta, channels, false),
        ("running", buffers.running, packed.running(), needs.running),
        ("mean", mean, channels, false),
        ("variance", variance, channels, false),
        ("saved", buffers.saved, packed.saved(), true),
        (
            "workspace",
            buffers.workspace,
            plan.workspace_bytes() / 4,
            true,
        ),
    ];
    Ok(all
        .into_iter()
        .filter_map(|(name, tensor, needed, writes)| {
            tensor.map(|tensor| Given {
                name,
                tensor,
                needed,
                writes,
            })
        })
        .collect())
}

/// What is written overlaps nothing else, but for y exactly over x where nothing reads x afterwards.
fn check_apart(plan: &Plan, given: &[Given<'_>]) -> Result<(), BindError> {
    for (index, a) in given.iter().enumerate() {
        for b in &given[index + 1..] {
            if !(a.writes || b.writes) || !a.tensor.overlaps(&b.tensor) {
                continue;
            }
            if (a.name, b.name) == ("x", "y") && a.tensor.is(&b.tensor) {
                if plan.needs().saved {
                    return Err(BindError::InPlaceTraining);
                }
                continue;
            }
            return Err(BindError::Overlap {
                first: a.name,
                second: b.name,
            });
        }
    }
    Ok(())
}

fn by_role<'a>(plan: &Plan, buffers: &Buffers<'a>) -> Vec<(Role, Tensor<'a>)> {
    let needs = plan.needs();
    let channels = plan.shape().channels();
    let part = |packed: Option<Tensor<'a>>, index: u64| {
        packed.map(|all| all.part(index * Packed::new(channels).stride(), channels))
    };
    let (mean, variance) = match buffers.statistics {
        Some((mean, variance)) => (Some(mean), Some(variance)),
        None => (part(buffers.running, 0), part(buffers.running, 1)),
    };
    [
        (Role::X, Some(buffers.x)),
        (Role::Y, Some(buffers.y)),
        (Role::Gamma, buffers.gamma.or(part(buffers.parameters, 0))),
        (Role::Beta, buffers.beta.or(part(buffers.parameters, 1))),
        (Role::Running, buffers.running),
        (Role::Mean, mean),
        (Role::Variance, variance),
        (Role::Saved, buffers.saved),
    ]
    .into_iter()
    .filter(|&(role, _)| needs.has(role))
    .filter_map(|(role, tensor)| tensor.map(|tensor| (role, tensor)))
    .collect()
}
