//! Every text that a plan can ask for is valid, and within the bindings of every device.

use super::*;
use crate::options::{Backward, Gradient, Inference, Running, Statistics, Training};
use crate::plan::{Access, Held, Lanes, Pairs};
use crate::tuning::Team;

const FORWARD: [Stage; 9] = [
    Stage::Statistics,
    Stage::Merge,
    Stage::Coefficients,
    Stage::Finalize,
    Stage::Normalize,
    Stage::NormalizeGiven,
    Stage::Fused,
    Stage::Resident,
    Stage::Mask,
];

const BACKWARD: [Stage; 7] = [
    Stage::GradientSums,
    Stage::GradientCoefficients,
    Stage::GradientFinalize,
    Stage::GivenGradients,
    Stage::GradientInput,
    Stage::GradientFused,
    Stage::GradientResident,
];

/// Whether a stage is a pass of its own.
fn is_all_in_one(stage: Stage) -> bool {
    matches!(stage, Stage::Fused | Stage::GradientFused) || stage.is_resident()
}

/// Every kernel of these stages that a plan can ask for.
fn kernels(stages: &[Stage], element: Element) -> Vec<Kernel> {
    let shapes = [
        (Walk::Rows, 1, 1),
        (Walk::Rows, 2, 1),
        (Walk::Rows, 4, 1),
        (Walk::Rows, 8, 1),
        (Walk::Columns, 1, 1),
        (Walk::Columns, 2, 2),
        (Walk::Columns, 4, 4),
        (Walk::Columns, 8, 4),
        (Walk::Quads, 4, 4),
        (Walk::Planes, 4, 1),
        (Walk::Runs, 1, 1),
        (Walk::Runs, 2, 1),
        (Walk::Runs, 4, 1),
        (Walk::Runs, 8, 1),
        (Walk::SharedRuns, 4, 1),
        (Walk::SharedRuns, 8, 1),
        (Walk::Words, 1, 1),
        (Walk::Words, 2, 1),
        (Walk::Words, 4, 1),
    ];
    let combines = [
        (Combine::Lane, [8, 1, 1]),
        (Combine::Workgroup, [16, 16, 1]),
        (Combine::Subgroups, [1, 4, 64]),
        (Combine::Subgroup, [1, 1, 32]),
    ];
    let mut kernels = vec![];
    for &stage in stages {
        for (walk, width, channels) in shapes {
            for (combine, [units_across, team_rows, team_columns]) in combines {
                kernels.push(Kernel {
                    stage,
                    walk,
                    element,
                    width,
                    channels,
                    team: match combine {
                        Combine::Lane => Team::Lane,
                        _ => Team::Workgroup,
                    },
                    pairs: Pairs {
                        applied: width >= 4,
                        summed: combine == Combine::Lane,
                    },
                    combine,
                    lanes: Lanes {
                        units_across,
                        team_rows,
                        team_columns,
                    },
                    held: stage.is_resident().then_some(Held {
                        rows: team_rows.min(3),
                        columns: team_columns.min(2),
                    }),
                });
            }
        }
    }
    kernels.retain(|kernel| {
        let half = element != Element::F32;
        let stage = kernel.stage;
        let writes_values = stage.is_elementwise() || is_all_in_one(stage);
        let words = match stage {
            Stage::Mask => kernel.walk == Walk::Words,
            Stage::Normalize | Stage::NormalizeGiven | Stage::GradientInput => {
                kernel.walk != Walk::Words || (half && kernel.width == 2)
            }
            _ => kernel.walk != Walk::Words,
        };
        let is_runs = matches!(kernel.walk, Walk::Runs | Walk::SharedRuns);
        words
            && (!stage.is_resident() || matches!(kernel.walk, Walk::Rows | Walk::Columns))
            && (!stage.is_finalize()
                || (kernel.walk, kernel.width) == (Walk::Rows, 1))
            && (kernel.walk != Walk::Planes || stage.is_elementwise())
            && (!is_runs || stage.is_elementwise() || matches!(stage, Stage::Statistics | Stage::GradientSums))
            && (!is_runs || kernel.combine == Combine::Lane)
            && (kernel.combine == Combine::Lane || !stage.is_elementwise())
            && (kernel.width != 2 || half)
            && (kernel.width != 8 || (half && kernel.combine == Combine::Lane))
            && (kernel.width != 8 || !stage.is_resident())
            // what is written is written in whole words
            && (!half || !writes_values || kernel.width > 1)
    });
    kernels
}

fn forward_needs(element: Element) -> Vec<Needs> {
    let bit = |bits: u32, n: u32| bits >> n & 1 == 1;
    let mut all = vec![
        Needs::moments(element, false),
        Needs::moments(element, true),
    ];
    for activation in Activation::all(0.01) {
        let some = if activation == Activation::None {
            0..32
        } else {
            15..16
        };
        for bits in some.flat_map(|bits| [bits, bits | 16]) {
            let options = Training::default()
                .gamma(bit(bits, 0))
                .beta(bit(bits, 1))
                .running(bit(bits, 2).then(Running::default))
                .saved(bit(bits, 3))
                .residual(bit(bits, 4))
                .activation(activation)
                .element(element);
            let training = Needs::training(&options);
            let mut sharded = training;
            if let crate::plan::Pass::Forward(forward) = &mut sharded.pass {
                forward.from_shards = true;
            }
            let options = Inference::default()
                .gamma(bit(bits, 0))
                .beta(bit(bits, 1))
                .residual(bit(bits, 4))
                .activation(activation)
                .element(element);
            all.extend([training, sharded, Needs::inference(&options)]);
        }
    }
    all
}

fn backward_needs(element: Element) -> Vec<Needs> {
    let mut all = vec![];
    let from = [Derivative::Input, Derivative::Output, Derivative::Mask];
    let gradients = [Gradient::Skip, Gradient::Write, Gradient::Add];
    for activation in Activation::all(0.01) {
        for derivative in from.into_iter().filter(|&d| activation.gradient_from(d)) {
            for residual in [false, true] {
                // how they are written has nothing to do with the activation
                let gradients = match activation {
                    Activation::None => &gradients[..],
                    _ => &gradients[1..2],
                };
                for &input in gradients {
                    for &other in gradients {
                        for statistics in [Statistics::Batch, Statistics::Fixed] {
                            let options = Backward::default()
                                .element(element)
                                .activation(activation)
                                .derivative(derivative)
                                .residual(residual)
                                .statistics(statistics)
                                .grad_input(input)
                                .grad_gamma(other)
                                .grad_beta(other)
                                .grad_residual(if residual { other } else { Gradient::Skip });
                            all.push(Needs::backward(&options, false));
                            all.push(Needs::backward(&options, true));
                        }
                    }
                }
            }
        }
    }
    all
}

/// Whether a plan with these needs has the stage.
fn has_stage(needs: &Needs, stage: Stage) -> bool {
    let forward = needs.forward();
    match stage {
        Stage::Statistics => !needs.given && !forward.from_shards,
        Stage::Merge => forward.to_moments,
        Stage::Coefficients | Stage::Fused | Stage::Resident => {
            !needs.given && !forward.from_shards && !forward.to_moments
        }
        Stage::Finalize | Stage::Normalize => !needs.given && !forward.to_moments,
        Stage::NormalizeGiven => needs.given,
        Stage::Mask => {
            needs.activation != Activation::None
                && needs.activation.gradient_from(Derivative::Output)
        }
        Stage::GradientSums | Stage::GradientCoefficients => needs.sums(),
        Stage::GradientFinalize => !needs.gradients().is_some_and(|g| g.given),
        Stage::GivenGradients => needs.gradients().is_some_and(|g| g.given),
        Stage::GradientInput => needs.writes_values(),
        Stage::GradientFused | Stage::GradientResident => needs.sums() && needs.writes_values(),
    }
}

/// A slot for each tensor.
fn apart(kernel: &Kernel, needs: &Needs, wide_vectors: bool) -> (Vec<Bound>, Vec<Slot>) {
    let roles = kernel.stage.roles(needs).into_iter();
    roles
        .enumerate()
        .map(|(slot, (role, access))| {
            let width = match role {
                _ if role.has_shape_of_x() => (kernel.width * kernel.element.bytes()).div_ceil(4),
                Role::Partials => needs.partial_bytes() / 4,
                Role::Shards | Role::Moments if wide_vectors => 4,
                _ if wide_vectors && role != Role::Mask => kernel.channels,
                _ => 1,
            };
            let read_write = access == Access::Write;
            (Bound { role, slot }, Slot { width, read_write })
        })
        .unzip()
}

fn validate(text: &str) -> naga::Module {
    let module = naga::front::wgsl::parse_str(text)
        .unwrap_or_else(|e| panic!("{}\n{text}", e.emit_to_string(text)));
    naga::valid::Validator::new(
        naga::valid::ValidationFlags::all(),
        naga::valid::Capabilities::SUBGROUP | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32,
    )
    .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
    .subgroup_operations(naga::valid::SubgroupOperationSet::all())
    .validate(&module)
    .unwrap_or_else(|e| panic!("{}\n{text}", e.emit_to_string(text)));
    module
}

/// Validates every distinct text of these kernels with these needs, and counts its bindings.
fn validate_all(stages: &[Stage], element: Element, all_needs: &[Needs]) -> usize {
    use rayon::prelude::*;
    let mut texts = std::collections::HashSet::new();
    for kernel in kernels(stages, element) {
        for needs in all_needs {
            let roles = kernel.stage.roles(needs);
            // plans go around what has more bindings: see `Planner::program`
            let splittable =
                is_all_in_one(kernel.stage) || kernel.stage == Stage::GradientCoefficients;
            if !has_stage(needs, kernel.stage) || (splittable && roles.len() > 8) {
                continue;
            }
            for wide in [false, true] {
                let (bound, slots) = apart(&kernel, needs, wide);
                texts.insert(text(&kernel, needs, &bound, &slots));
            }
        }
    }
    texts.par_iter().for_each(|text| {
        let module = validate(text);
        let count = |space: fn(&naga::AddressSpace) -> bool| {
            let variables = module.global_variables.iter();
            variables.filter(|(_, v)| space(&v.space)).count()
        };
        assert!(
            count(|s| matches!(s, naga::AddressSpace::Storage { .. })) <= 8,
            "{text}"
        );
        assert!(count(|s| *s == naga::AddressSpace::Uniform) <= 4);
    });
    texts.len()
}

#[test]
fn every_forward_variant_is_valid_and_within_eight_storage_buffers() {
    for element in Element::ALL {
        assert!(validate_all(&FORWARD, element, &forward_needs(element)) > 100);
    }
}

#[test]
fn every_backward_variant_is_valid_and_within_eight_storage_buffers() {
    for element in Element::ALL {
        assert!(validate_all(&BACKWARD, element, &backward_needs(element)) > 100);
    }
}

#[test]
fn every_variant_is_valid_with_all_tensors_in_one_binding() {
    let stages = [FORWARD.as_slice(), &BACKWARD].concat();
    for element in Element::ALL {
        for kernel in kernels(&stages, element) {
            let words = (kernel.width * element.bytes()).div_ceil(4);
            if words != 1 {
                continue;
            }
            let residual = Activation::Silu;
            let training = Training::default()
                .element(element)
                .residual(true)
                .activation(residual);
            let needs = match kernel.stage {
                Stage::NormalizeGiven => {
                    Needs::inference(&Inference::default().element(element).residual(true))
                }
                Stage::Mask => Needs::training(&training.activation(Activation::Relu).mask(true)),
                stage if BACKWARD.contains(&stage) => {
                    let given = stage == Stage::GivenGradients;
                    Needs::backward(&Backward::from(&training), given)
                }
                _ => Needs::training(&training),
            };
            let (bound, slots) = apart(&kernel, &needs, false);
            // partials are never in one binding with others
            if slots.iter().any(|slot| slot.width > 1) {
                continue;
            }
            let bound: Vec<_> = bound.iter().map(|b| Bound { slot: 0, ..*b }).collect();
            let slot = Slot {
                width: 1,
                read_write: true,
            };
            validate(&text(&kernel, &needs, &bound, &[slot]));
        }
    }
}
