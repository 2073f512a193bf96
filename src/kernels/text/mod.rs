//! The text of a kernel: shader files joined in a fixed order, after a generated head.
//!
//! The files are plain WGSL. What differs between variants is generated here and nowhere else: the constants and type
//! names that the files use, the bindings, and the accessors through which the files reach their tensors. An accessor
//! reads and writes `u32` words: storage that holds counts beside floats keeps every bit that way, and one binding can
//! serve several tensors.

mod accessors;
mod coefficients;
mod head;
#[cfg(test)]
mod tests;
mod vectors;

use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::plan::{Combine, Kernel, Needs, Role, Stage, Walk};
use crate::tuning::Team;
use accessors::{Accessors, starts};
use coefficients::coefficients;
use head::head;

macro_rules! shader {
    ($path:literal) => {
        include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/shaders/", $path))
    };
}

/// Where a tensor of a stage is bound.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Bound {
    pub role: Role,
    /// The number of its slot.
    pub slot: usize,
}

/// A storage binding, of one tensor or of several that stand too close for bindings of their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Slot {
    /// Words in one element: 4, 2 or 1.
    pub width: u64,
    pub read_write: bool,
}

/// The binding of the uniform block; slots follow it.
pub(crate) const PARAMETERS_BINDING: u32 = 0;

/// The binding of a slot.
pub(crate) const fn slot_binding(slot: usize) -> u32 {
    slot as u32 + 1
}

/// The whole text of a kernel.
pub(crate) fn text(kernel: &Kernel, needs: &Needs, bound: &[Bound], slots: &[Slot]) -> String {
    let mut text = head(kernel, needs, slots);
    let slot = |role| {
        let found = bound.iter().find(|bound| bound.role == role);
        found.map(|bound| (bound.slot, slots[bound.slot].width))
    };
    let roles = kernel.stage.roles(needs);
    text += &starts(&roles);
    let accessors = Accessors {
        kernel,
        needs,
        slot: &slot,
    };
    let files = files(kernel, needs);
    text += &accessors.text(&roles, &files);
    if !matches!(kernel.stage, Stage::Statistics | Stage::Merge | Stage::Mask) {
        text += &coefficients(kernel, needs, slot(Role::Coefficients));
    }
    for file in files {
        text += "\n";
        text += file;
    }
    if let Some(held) = kernel.held {
        text += &each_access(held.accesses());
    }
    text
}

/// The functions that do to every access that a lane holds what a resident kernel does to one: by calls one after another.
/// Compilers unroll loops up to some size, which a loop that packs halves soon has; not unrolled, it would index what is held
/// at run time, and so keep it in memory.
fn each_access(held: u64) -> String {
    lines(["hold", "add", "write"].iter().map(|function| {
        let calls = lines((0..held).map(|k| format!("    {function}(share, {k}u);\n")));
        format!("\nfn each_{function}(share: ptr<function, Share>) {{\n{calls}}}\n")
    }))
}

/// The files of a kernel, in an order in which a reader meets what is used before it is used.
fn files(kernel: &Kernel, needs: &Needs) -> Vec<&'static str> {
    let mut files = vec![];
    match needs.element {
        Element::F32 => {}
        Element::F16 => files.push(shader!("storage/f16.wgsl")),
        Element::Bf16 => files.push(shader!("storage/bf16.wgsl")),
    }
    files.push(shader!("shared/geometry.wgsl"));
    match kernel.walk {
        Walk::Quads => files.extend([
            shader!("shared/quads.wgsl"),
            shader!("shared/shared_accesses.wgsl"),
        ]),
        Walk::SharedRuns => files.extend([
            shader!("shared/shared_accesses.wgsl"),
            if kernel.takes_eights() {
                shader!("shared/values_of_eight.wgsl")
            } else {
                shader!("shared/values_of_access.wgsl")
            },
        ]),
        _ => {}
    }
    if needs.gradients().is_some() {
        backward_files(&mut files, kernel, needs);
    } else {
        forward_files(&mut files, kernel, needs);
    }
    files
}

fn combine(kernel: &Kernel, within_subgroup: &'static str) -> Vec<&'static str> {
    match kernel.combine {
        Combine::Lane => vec![shader!("combine/lane.wgsl")],
        Combine::Workgroup => vec![shader!("combine/workgroup.wgsl")],
        Combine::Subgroup => vec![within_subgroup, shader!("combine/subgroup.wgsl")],
        Combine::Subgroups => vec![within_subgroup, shader!("combine/subgroups.wgsl")],
    }
}

fn activation(activation: Activation) -> &'static [&'static str] {
    match activation {
        Activation::None => &[shader!("activation/none.wgsl")],
        Activation::Relu => &[shader!("activation/relu.wgsl")],
        Activation::LeakyRelu { .. } => &[shader!("activation/leaky_relu.wgsl")],
        Activation::Relu6 => &[shader!("activation/relu6.wgsl")],
        Activation::Silu => &[
            shader!("activation/sigmoid.wgsl"),
            shader!("activation/silu.wgsl"),
        ],
        Activation::Gelu => &[shader!("activation/gelu.wgsl")],
        Activation::GeluTanh => &[
            shader!("activation/sigmoid.wgsl"),
            shader!("activation/gelu_tanh.wgsl"),
        ],
    }
}

/// How a fused kernel goes over the tensor once it has the coefficients.
fn apply(walk: Walk) -> &'static str {
    match walk {
        Walk::Rows | Walk::Runs => shader!("walk/rows.wgsl"),
        Walk::Columns => shader!("walk/columns.wgsl"),
        Walk::Quads => shader!("walk/quads.wgsl"),
        Walk::SharedRuns | Walk::Planes | Walk::Words => "",
    }
}

/// A stage that has its coefficients from elsewhere.
fn elementwise(kernel: &Kernel) -> Vec<&'static str> {
    let walk = kernel.walk;
    match walk {
        Walk::Rows | Walk::Quads => vec![apply(walk), shader!("walk/stage.wgsl")],
        Walk::Columns => vec![
            if kernel.takes_eights() {
                shader!("walk/groups_of_column.wgsl")
            } else {
                shader!("walk/group_of_column.wgsl")
            },
            shader!("walk/stage_columns.wgsl"),
        ],
        Walk::Runs => vec![
            apply(walk),
            shader!("walk/stage_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        Walk::SharedRuns => vec![
            shader!("walk/stage_shared_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        Walk::Planes => vec![shader!("walk/stage_planes.wgsl")],
        Walk::Words => vec![shader!("walk/stage_words.wgsl")],
    }
}

/// What the mean of a unit is counted from, where that is not the gathering's business.
fn frame(walk: Walk) -> &'static str {
    match walk {
        Walk::Columns => shader!("forward/frame/columns.wgsl"),
        _ => shader!("forward/frame/rows.wgsl"),
    }
}

fn forward_files(files: &mut Vec<&'static str>, kernel: &Kernel, needs: &Needs) {
    let gather: &[_] = match kernel.walk {
        Walk::Rows | Walk::Runs => &[
            frame(kernel.walk),
            if kernel.takes_eights() {
                shader!("forward/gather/add_eight.wgsl")
            } else {
                shader!("forward/gather/add.wgsl")
            },
            shader!("forward/gather/rows.wgsl"),
        ],
        Walk::Columns if kernel.has_eight_channels() => {
            &[shader!("forward/gather/columns_of_eight.wgsl")]
        }
        Walk::Columns => &[frame(kernel.walk), shader!("forward/gather/columns.wgsl")],
        Walk::Quads => &[
            shader!("shared/quad_pairs.wgsl"),
            shader!("forward/gather/quads.wgsl"),
        ],
        Walk::SharedRuns if kernel.takes_eights() => &[
            shader!("forward/gather/add_eight.wgsl"),
            shader!("forward/gather/add_own_of_eight.wgsl"),
        ],
        Walk::SharedRuns => &[
            shader!("forward/gather/add.wgsl"),
            shader!("forward/gather/add_own.wgsl"),
        ],
        Walk::Planes | Walk::Words => &[],
    };
    let units: &[_] = match kernel.walk {
        Walk::Columns if kernel.has_eight_channels() => {
            &[shader!("forward/gather_units_of_eight.wgsl")]
        }
        Walk::Runs => &[
            shader!("forward/moments_of_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        Walk::SharedRuns => &[
            shader!("forward/moments_of_shared_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        _ => &[shader!("forward/gather_units.wgsl")],
    };
    let fused = if kernel.has_eight_channels() {
        shader!("forward/fused_of_eight.wgsl")
    } else {
        shader!("forward/fused.wgsl")
    };
    let moments = || {
        let mut moments = vec![shader!("forward/moments.wgsl")];
        moments.extend(combine(kernel, shader!("forward/subgroup_moments.wgsl")));
        moments
    };
    let element = [
        shader!("forward/element.wgsl"),
        if kernel.takes_eights() {
            shader!("forward/access_of_eight.wgsl")
        } else {
            shader!("forward/access.wgsl")
        },
    ];
    match kernel.stage {
        Stage::Statistics => {
            files.extend(moments());
            files.push(shader!("forward/statistics.wgsl"));
            files.extend(gather);
            files.extend(units);
        }
        Stage::Merge => {
            files.extend(moments());
            files.extend([
                shader!("forward/partials.wgsl"),
                shader!("forward/merge.wgsl"),
            ]);
        }
        Stage::Coefficients => {
            files.extend(moments());
            files.extend([
                shader!("forward/channel.wgsl"),
                shader!("forward/coefficients.wgsl"),
            ]);
            files.extend(gather);
            files.extend(units);
        }
        Stage::Finalize => {
            files.extend(moments());
            files.extend([
                shader!("forward/channel.wgsl"),
                shader!("forward/partials.wgsl"),
                shader!("forward/finalize.wgsl"),
            ]);
        }
        Stage::Fused => {
            files.extend(moments());
            files.push(shader!("forward/channel.wgsl"));
            files.extend(activation(needs.activation));
            files.extend(element);
            files.extend(gather);
            files.push(apply(kernel.walk));
            files.push(fused);
        }
        Stage::Resident => {
            files.extend(moments());
            files.push(shader!("forward/channel.wgsl"));
            files.extend(activation(needs.activation));
            files.extend(element);
            files.extend([
                frame(kernel.walk),
                shader!("walk/resident.wgsl"),
                shader!("forward/resident.wgsl"),
            ]);
        }
        Stage::Normalize | Stage::NormalizeGiven => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(activation(needs.activation));
            files.extend(element);
            files.push(if kernel.stage == Stage::Normalize {
                shader!("walk/channel_from_stage.wgsl")
            } else {
                shader!("forward/channel_of_statistics.wgsl")
            });
            files.extend(elementwise(kernel));
        }
        _ => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(activation(needs.activation));
            files.push(shader!("forward/mask.wgsl"));
        }
    }
}

fn backward_files(files: &mut Vec<&'static str>, kernel: &Kernel, needs: &Needs) {
    let mut sums = vec![shader!("backward/sums.wgsl")];
    sums.extend(combine(kernel, shader!("backward/subgroup_sums.wgsl")));
    let channel = [
        if needs.given {
            shader!("backward/statistics_from/given.wgsl")
        } else {
            shader!("backward/statistics_from/saved.wgsl")
        },
        shader!("backward/channel.wgsl"),
    ];
    let mut element = vec![];
    element.extend(match needs.evidence() {
        None => &[][..],
        Some(_) => activation(needs.activation),
    });
    element.push(match needs.evidence() {
        None => shader!("backward/gradient_from/nothing.wgsl"),
        Some(Derivative::Input) if activates_by_value(kernel, needs) => {
            shader!("backward/gradient_from/input_by_value.wgsl")
        }
        Some(Derivative::Input) => shader!("backward/gradient_from/input.wgsl"),
        Some(Derivative::Output) => shader!("backward/gradient_from/output.wgsl"),
        Some(Derivative::Mask) => shader!("backward/gradient_from/mask.wgsl"),
    });
    element.push(shader!("backward/element.wgsl"));
    let eights = kernel.takes_eights();
    if needs.evidence().is_none() {
        element.push(if eights {
            shader!("backward/gradient_from/no_evidence_of_eight.wgsl")
        } else {
            shader!("backward/gradient_from/no_evidence.wgsl")
        });
    }
    element.push(if eights {
        shader!("backward/access_of_eight.wgsl")
    } else {
        shader!("backward/access.wgsl")
    });
    let gather: &[_] = match kernel.walk {
        Walk::Rows | Walk::Runs => &[
            if eights {
                shader!("backward/gather/add_eight.wgsl")
            } else {
                shader!("backward/gather/add.wgsl")
            },
            shader!("backward/gather/rows.wgsl"),
        ],
        Walk::Columns if eights => &[shader!("backward/gather/columns_of_eight.wgsl")],
        Walk::Columns if kernel.team == Team::Workgroup => &[
            shader!("backward/gather/add.wgsl"),
            shader!("backward/gather/shared_columns.wgsl"),
        ],
        Walk::Columns => &[
            shader!("backward/gather/add.wgsl"),
            shader!("backward/gather/columns.wgsl"),
        ],
        Walk::Quads => &[
            shader!("shared/quad_pairs.wgsl"),
            shader!("backward/gather/quads.wgsl"),
        ],
        Walk::SharedRuns if eights => &[
            shader!("backward/gather/add_eight.wgsl"),
            shader!("backward/gather/add_own_of_eight.wgsl"),
        ],
        Walk::SharedRuns => &[
            shader!("backward/gather/add.wgsl"),
            shader!("backward/gather/add_own.wgsl"),
        ],
        Walk::Planes | Walk::Words => &[],
    };
    let fused = if kernel.has_eight_channels() {
        shader!("backward/fused_of_eight.wgsl")
    } else {
        shader!("backward/fused.wgsl")
    };
    let units: &[_] = match kernel.walk {
        Walk::Columns if eights => &[shader!("backward/sums_of_units_of_eight.wgsl")],
        Walk::SharedRuns => &[
            shader!("backward/sums_of_shared_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        Walk::Runs => &[
            shader!("backward/sums_of_runs.wgsl"),
            shader!("walk/runs.wgsl"),
        ],
        _ => &[shader!("backward/sums_of_units.wgsl")],
    };
    match kernel.stage {
        Stage::GradientSums | Stage::GradientCoefficients => {
            files.extend(sums);
            files.extend(channel);
            files.push(shader!("backward/gradients.wgsl"));
            files.extend(element);
            files.push(if kernel.stage == Stage::GradientSums {
                shader!("backward/partials.wgsl")
            } else {
                shader!("backward/coefficients.wgsl")
            });
            files.extend(gather);
            files.extend(units);
        }
        Stage::GradientFinalize => {
            files.extend(sums);
            files.extend(channel);
            files.push(shader!("backward/gradients.wgsl"));
            files.push(shader!("backward/finalize.wgsl"));
        }
        Stage::GivenGradients => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(channel);
            files.push(shader!("backward/given_gradients.wgsl"));
        }
        Stage::GradientFused => {
            files.extend(sums);
            files.extend(channel);
            files.push(shader!("backward/gradients.wgsl"));
            files.extend(element);
            files.extend(gather);
            files.push(apply(kernel.walk));
            files.push(fused);
        }
        Stage::GradientResident => {
            files.extend(sums);
            files.extend(channel);
            files.push(shader!("backward/gradients.wgsl"));
            files.extend(element);
            files.push(shader!("walk/resident.wgsl"));
            files.push(shader!("backward/resident.wgsl"));
        }
        _ => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(element);
            files.push(shader!("walk/channel_from_stage.wgsl"));
            files.extend(elementwise(kernel));
        }
    }
}

/// Whether an activation is evaluated value by value: on GPUs, where evaluating four at once would take registers that other
/// lanes could have. Processors have vectors for it.
fn activates_by_value(kernel: &Kernel, needs: &Needs) -> bool {
    kernel.team == Team::Workgroup
        && kernel.width == 4
        && needs.gradients().is_some()
        && needs.evidence() == Some(Derivative::Input)
}

fn vector(scalar: &str, width: u64) -> String {
    if width == 1 {
        scalar.to_owned()
    } else {
        format!("vec{width}<{scalar}>")
    }
}

/// Lines, each with its end, one after another.
fn lines(lines: impl Iterator<Item = String>) -> String {
    lines.collect::<Vec<_>>().concat()
}
