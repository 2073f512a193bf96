//! The caller's tensors, checked against the plan.

use crate::activation::Derivative;
use crate::element::Element;
use crate::error::BindError;
use crate::options::Gradient;
use crate::packed::Packed;
use crate::plan::{Pass, Plan, Role};
use crate::tensor::{Buffers, Tensor};

/// Tensors of the shape of x that all start at multiples of so many bytes may be accessed by four values, or by eight halves.
const ALIGNED_BYTES: u64 = 16;

/// A tensor that a plan may have.
struct Entry<'a> {
    name: &'static str,
    given: Option<Tensor<'a>>,
    /// Whether the plan has a use for it.
    has: bool,
    values: u64,
    element: Element,
    writes: bool,
}

/// The tensors of a step by role: each of the right length, within its buffer and apart from the others.
pub(super) struct Tensors<'a> {
    by_role: Vec<(Role, Tensor<'a>)>,
}

impl<'a> Tensors<'a> {
    pub fn check(plan: &Plan, buffers: &Buffers<'a>, alignment: u64) -> Result<Self, BindError> {
        let uses = Uses::of(plan);
        let entries = entries(plan, &uses, buffers);
        if let Some(unused) = entries
            .iter()
            .find(|entry| entry.given.is_some() && !entry.has)
        {
            return Err(BindError::Unused {
                tensor: match unused.name {
                    // which are given together
                    "mean" | "variance" => "statistics",
                    name => name,
                },
            });
        }
        check_ways(&uses, buffers)?;
        for entry in &entries {
            check_entry(entry, alignment)?;
        }
        check_apart(plan, &entries)?;
        Ok(Self {
            by_role: by_role(plan, buffers),
        })
    }

    /// The tensor of a role; none where it was not given.
    pub fn get(&self, role: Role) -> Option<Tensor<'a>> {
        let found = self.by_role.iter().find(|(named, _)| *named == role);
        found.map(|&(_, tensor)| tensor)
    }

    /// Every tensor.
    pub fn all(&self) -> impl Iterator<Item = Tensor<'a>> + '_ {
        self.by_role.iter().map(|&(_, tensor)| tensor)
    }

    /// Whether the tensors of the shape of x start where the widest accesses may.
    pub fn aligned(&self) -> bool {
        let of_shape = self
            .by_role
            .iter()
            .filter(|(role, _)| role.has_shape_of_x());
        of_shape
            .map(|(_, tensor)| tensor)
            .all(|tensor| tensor.offset().is_multiple_of(ALIGNED_BYTES))
    }
}

/// Which tensors a plan reads or writes, beside those of the layer itself.
#[allow(
    clippy::struct_excessive_bools,
    reason = "each is a tensor that is used or is not"
)]
struct Uses {
    x: bool,
    y: bool,
    residual: bool,
    mask: bool,
    gamma: bool,
    beta: bool,
    saved: bool,
    running: bool,
    grad_gamma: bool,
    grad_beta: bool,
    grad_input: bool,
    grad_residual: bool,
    normalizes_by_given: bool,
    forward: bool,
    from_shards: bool,
    to_moments: bool,
}

impl Uses {
    fn of(plan: &Plan) -> Self {
        let needs = plan.needs();
        match needs.pass {
            Pass::Forward(forward) => Self {
                x: !(forward.from_shards && forward.to_moments),
                y: !forward.to_moments,
                residual: needs.residual,
                mask: forward.mask,
                gamma: needs.gamma,
                beta: needs.beta,
                saved: forward.saved,
                running: forward.running,
                grad_gamma: false,
                grad_beta: false,
                grad_input: false,
                grad_residual: false,
                normalizes_by_given: needs.given,
                forward: true,
                from_shards: forward.from_shards,
                to_moments: forward.to_moments,
            },
            Pass::Backward(gradients) => Self {
                x: true,
                y: needs.evidence() == Some(Derivative::Output),
                residual: needs.residual && needs.recomputes(),
                mask: needs.evidence() == Some(Derivative::Mask),
                gamma: needs.gamma && (gradients.input != Gradient::Skip || needs.recomputes()),
                beta: needs.beta && needs.recomputes(),
                saved: !needs.given,
                running: false,
                grad_gamma: gradients.given || gradients.gamma != Gradient::Skip,
                grad_beta: gradients.given || gradients.beta != Gradient::Skip,
                grad_input: gradients.input != Gradient::Skip,
                grad_residual: gradients.residual != Gradient::Skip,
                normalizes_by_given: needs.given,
                forward: false,
                from_shards: false,
                to_moments: false,
            },
        }
    }
}

/// Everything that the caller may give.
fn entries<'a>(plan: &Plan, uses: &Uses, buffers: &Buffers<'a>) -> Vec<Entry<'a>> {
    let needs = plan.needs();
    let channels = plan.shape().channels();
    let packed = Packed::new(channels);
    let len = plan.shape().len();
    let (mean, variance) = buffers.statistics.unzip();
    let written_gradients = needs.gradients().is_some_and(|gradients| !gradients.given);
    let of_shape = |name, given, has, writes| Entry {
        name,
        given,
        has,
        values: len,
        element: needs.element,
        writes,
    };
    let words = |name, given, has, values, writes| Entry {
        name,
        given,
        has,
        values,
        element: Element::F32,
        writes,
    };
    let any_gradient = uses.grad_gamma || uses.grad_beta;
    vec![
        of_shape("x", buffers.x, uses.x, false),
        of_shape("y", buffers.y, uses.y, uses.forward),
        // what a layer has may be given to its backward pass also where that does not read it
        of_shape("residual", buffers.residual, needs.residual, false),
        of_shape("grad_output", buffers.grad_output, !uses.forward, false),
        of_shape("grad_input", buffers.grad_input, uses.grad_input, true),
        of_shape(
            "grad_residual",
            buffers.grad_residual,
            uses.grad_residual,
            true,
        ),
        words(
            "mask",
            buffers.mask,
            uses.mask,
            plan.mask_words(),
            uses.forward,
        ),
        words(
            "parameters",
            buffers.parameters,
            needs.gamma || needs.beta,
            packed.parameters(),
            false,
        ),
        words("gamma", buffers.gamma, needs.gamma, channels, false),
        words("beta", buffers.beta, needs.beta, channels, false),
        words(
            "running",
            buffers.running,
            uses.running || needs.given,
            packed.running(),
            uses.running,
        ),
        words("mean", mean, needs.given, channels, false),
        words("variance", variance, needs.given, channels, false),
        words(
            "saved",
            buffers.saved,
            uses.saved,
            packed.saved(),
            uses.forward,
        ),
        words(
            "grad_parameters",
            buffers.grad_parameters,
            any_gradient,
            packed.parameters(),
            written_gradients,
        ),
        words(
            "grad_gamma",
            buffers.grad_gamma,
            uses.grad_gamma,
            channels,
            written_gradients,
        ),
        words(
            "grad_beta",
            buffers.grad_beta,
            uses.grad_beta,
            channels,
            written_gradients,
        ),
        words(
            "shards",
            buffers.shards,
            uses.from_shards,
            4 * channels * plan.shards(),
            false,
        ),
        words(
            "moments",
            buffers.moments,
            uses.to_moments,
            4 * channels,
            true,
        ),
        words(
            "workspace",
            buffers.workspace,
            true,
            plan.workspace_bytes() / 4,
            true,
        ),
    ]
}

/// Nothing is given in two ways, and nothing is missing.
fn check_ways(uses: &Uses, buffers: &Buffers<'_>) -> Result<(), BindError> {
    let parameters = ("parameters", buffers.parameters);
    let gradients = ("grad_parameters", buffers.grad_parameters);
    let statistics = ("statistics", buffers.statistics.map(|(mean, _)| mean));
    for ((first, one), (second, other)) in [
        (("gamma", buffers.gamma), parameters),
        (("beta", buffers.beta), parameters),
        (("running", buffers.running), statistics),
        (("grad_gamma", buffers.grad_gamma), gradients),
        (("grad_beta", buffers.grad_beta), gradients),
    ] {
        if one.is_some() && other.is_some() {
            return Err(BindError::Twice { first, second });
        }
    }
    let needed = [
        ("x", uses.x, buffers.x),
        ("y", uses.y, buffers.y),
        ("residual", uses.residual, buffers.residual),
        ("grad_output", !uses.forward, buffers.grad_output),
        ("grad_input", uses.grad_input, buffers.grad_input),
        ("grad_residual", uses.grad_residual, buffers.grad_residual),
        ("mask", uses.mask, buffers.mask),
        ("gamma", uses.gamma, buffers.gamma.or(buffers.parameters)),
        ("beta", uses.beta, buffers.beta.or(buffers.parameters)),
        ("running", uses.running, buffers.running),
        (
            "running or statistics",
            uses.normalizes_by_given,
            buffers.running.or(statistics.1),
        ),
        ("saved", uses.saved, buffers.saved),
        (
            "grad_gamma",
            uses.grad_gamma,
            buffers.grad_gamma.or(buffers.grad_parameters),
        ),
        (
            "grad_beta",
            uses.grad_beta,
            buffers.grad_beta.or(buffers.grad_parameters),
        ),
        ("shards", uses.from_shards, buffers.shards),
        ("moments", uses.to_moments, buffers.moments),
    ];
    match needed
        .iter()
        .find(|(_, used, given)| *used && given.is_none())
    {
        Some(&(tensor, ..)) => Err(BindError::Missing { tensor }),
        None => Ok(()),
    }
}

fn check_entry(entry: &Entry<'_>, alignment: u64) -> Result<(), BindError> {
    let Some(at) = entry.given else {
        return Ok(());
    };
    let tensor = entry.name;
    if at.element() != entry.element {
        return Err(BindError::Element {
            tensor,
            given: at.element(),
            needed: entry.element,
        });
    }
    let is_workspace = tensor == "workspace";
    let scratch = is_workspace && at.len() >= entry.values;
    if at.len() != entry.values && !scratch {
        return Err(BindError::Length {
            tensor,
            given: at.len(),
            needed: entry.values,
        });
    }
    let multiple = if is_workspace { alignment } else { 4 };
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
    Ok(())
}

/// What may be written over what, exactly: results over what they come from.
const IN_PLACE: [(&str, &str); 4] = [
    ("x", "y"),
    ("y", "residual"),
    ("grad_output", "grad_input"),
    ("grad_output", "grad_residual"),
];

/// What is written overlaps nothing else, but for what is exactly in place, where nothing reads the input afterwards.
fn check_apart(plan: &Plan, entries: &[Entry<'_>]) -> Result<(), BindError> {
    for (index, a) in entries.iter().enumerate() {
        for b in &entries[index + 1..] {
            let (Some(at_a), Some(at_b)) = (a.given, b.given) else {
                continue;
            };
            if !(a.writes || b.writes) || !at_a.overlaps(&at_b) {
                continue;
            }
            if IN_PLACE.contains(&(a.name, b.name)) && at_a.is(&at_b) {
                if a.name == "x" && plan.needs().forward().saved {
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
    let channels = plan.shape().channels();
    let part = |packed: Option<Tensor<'a>>, index: u64| {
        packed.map(|all| all.part(index * Packed::new(channels).stride(), channels))
    };
    let (mean, variance) = match buffers.statistics {
        Some((mean, variance)) => (Some(mean), Some(variance)),
        None => (part(buffers.running, 0), part(buffers.running, 1)),
    };
    [
        (Role::X, buffers.x),
        (Role::Y, buffers.y),
        (Role::Residual, buffers.residual),
        (Role::GradOutput, buffers.grad_output),
        (Role::GradInput, buffers.grad_input),
        (Role::GradResidual, buffers.grad_residual),
        (Role::Mask, buffers.mask),
        (Role::Gamma, buffers.gamma.or(part(buffers.parameters, 0))),
        (Role::Beta, buffers.beta.or(part(buffers.parameters, 1))),
        (Role::Running, buffers.running),
        (Role::Mean, mean),
        (Role::Variance, variance),
        (Role::Saved, buffers.saved),
        (
            Role::GradGamma,
            buffers.grad_gamma.or(part(buffers.grad_parameters, 0)),
        ),
        (
            Role::GradBeta,
            buffers.grad_beta.or(part(buffers.grad_parameters, 1)),
        ),
        (Role::Shards, buffers.shards),
        (Role::Moments, buffers.moments),
    ]
    .into_iter()
    .filter_map(|(role, tensor)| tensor.map(|tensor| (role, tensor)))
    .collect()
}
