//! Every kernel that the defaults choose on a GPU, for shapes and options that lead to all of them.

use std::collections::HashSet;

use anyhow::Result;
use serde::{Deserialize, Serialize};
use wgpu_batchnorm::{
    Activation, AdapterKind, Backward, Derivative, DispatchInfo, Element, Gradient, Inference,
    Limits, Plan, Shape, Stage, Statistics, SubgroupSizes, Training, yardstick,
};

use crate::spirv::Source;

/// A kernel to compile.
#[derive(Clone, Debug)]
pub struct Kernel {
    pub about: About,
    pub source: Source,
}

/// What is known of a kernel before it is compiled.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct About {
    pub stage: String,
    pub walk: String,
    pub element: String,
    /// Bytes of one value.
    pub element_bytes: u32,
    /// Values in one access.
    pub width: u32,
    /// What is computed, in words.
    pub options: String,
    /// How lanes combine what they found, and the first shape that had the kernel.
    pub first: String,
    pub tensors: Tensors,
}

impl About {
    /// A name that tells it from most others.
    pub fn name(&self) -> String {
        let options = if self.options.is_empty() {
            String::new()
        } else {
            format!(", {}", self.options)
        };
        format!(
            "{} by {} of {} {}{options} ({})",
            self.stage, self.walk, self.width, self.element, self.first
        )
    }

    /// Bytes of an access of a tensor: whole words.
    pub fn access_bytes(&self) -> u32 {
        (self.width * self.element_bytes).max(4)
    }

    /// Whether the kernel keeps a tensor in registers, for which it gives up occupancy.
    pub fn is_resident(&self) -> bool {
        self.stage.contains("resident")
    }
}

/// Tensors of the shape of x: what a loop that gathers reads, and what a loop that applies writes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tensors {
    /// Loaded by each turn that gathers; 0 where nothing is gathered.
    pub gathered: u32,
    pub written: u32,
    /// Whether a mask is read along with those that are gathered.
    pub mask: bool,
}

impl Tensors {
    fn of(stage: Stage, wgsl: &str) -> Self {
        let starts = wgsl.split_once("struct Starts {");
        let fields = starts.and_then(|(_, rest)| rest.split_once('}'));
        let has = |name: &str| {
            let mut lines = fields.map_or("", |(fields, _)| fields).lines();
            lines.any(|line| line.trim().starts_with(&format!("{name}:")))
        };
        let count = |names: &[&str]| names.iter().filter(|name| has(name)).count() as u32;
        match stage {
            Stage::Mask => Self {
                gathered: 1,
                ..Self::default()
            },
            Stage::Normalize | Stage::NormalizeGiven => Self {
                written: 1,
                ..Self::default()
            },
            Stage::GradientInput => Self {
                written: count(&["grad_input", "grad_residual"]),
                ..Self::default()
            },
            _ if stage.name().starts_with("forward") => Self {
                // the residual comes in after the statistics
                gathered: count(&["x"]),
                written: count(&["y"]),
                mask: false,
            },
            _ => Self {
                gathered: count(&["x", "y", "residual", "grad_output"]),
                written: count(&["grad_input", "grad_residual"]),
                mask: has("mask"),
            },
        }
    }
}

/// The copy kernel in the ways that suit GPUs, by how much a lane moves in a turn.
pub fn copies() -> Vec<Kernel> {
    let kernel = |entry_point: &str, walk: &str| Kernel {
        about: About {
            stage: "copy".to_owned(),
            walk: walk.to_owned(),
            element: "f32".to_owned(),
            element_bytes: 4,
            width: 4,
            options: String::new(),
            first: "256 lanes".to_owned(),
            tensors: Tensors {
                gathered: 0,
                written: 1,
                mask: false,
            },
        },
        source: Source {
            wgsl: yardstick::SOURCE.to_owned(),
            entry_point: entry_point.to_owned(),
            constants: vec![("LANES".to_owned(), 256.0), ("TEAM".to_owned(), 256.0)],
            subgroups: false,
        },
    };
    vec![kernel("one", "1 vec4"), kernel("four", "4 vec4")]
}

/// A GPU of each family, as wgpu describes it.
fn devices(subgroups: SubgroupSizes) -> Vec<Limits> {
    let least = Limits::default();
    // of the adapter, where the application asks for them
    let own = Limits {
        binding_bytes: (1 << 32) - 4,
        offset_alignment: 32,
        uniform_alignment: 64,
        workgroup_size: 1024,
        workgroup_memory: 32 << 10,
        ..Limits::default()
    };
    let mut devices = vec![];
    for limits in [least, own] {
        for subgroups in [Some(subgroups), None] {
            for adapter in [AdapterKind::Discrete, AdapterKind::Integrated] {
                devices.push(Limits {
                    adapter,
                    subgroups,
                    ..limits.clone()
                });
            }
        }
    }
    devices
}

/// Sizes, whether channels come last, and whether every option is planned for them: one shape of each walk.
const SHAPES: [(&[usize], bool, bool); 20] = [
    (&[32, 64, 56, 56], false, true),
    (&[32, 512, 7, 7], false, true),
    // an odd number of halves in a row
    (&[8, 30, 7, 7], false, true),
    (&[32, 56, 56, 64], true, true),
    (&[16, 32], true, true),
    (&[100_000, 6], true, true),
    (&[32, 64, 112, 112], false, false),
    (&[32, 128, 28, 28], false, false),
    (&[32, 256, 14, 14], false, false),
    (&[1, 64, 56, 56], false, false),
    (&[2, 2048, 4, 4], false, false),
    (&[16, 32, 6, 9], false, false),
    (&[4, 6, 1_000_003], false, false),
    (&[32, 14, 14, 256], true, false),
    (&[32, 7, 7, 512], true, false),
    (&[4, 8192], true, false),
    (&[64, 128], true, false),
    (&[4096, 1024], true, false),
    (&[256, 4096], true, false),
    (&[1000, 7], true, false),
];

/// What shapes and devices have that are not planned with every option.
pub const COMMON: [&str; 4] = [
    "",
    "residual + ReLU",
    "residual + ReLU by output",
    "residual + ReLU by mask",
];

/// What is computed forward, the plainest first: texts are named by what has them first.
const FORWARD: [(&str, Activation, bool); 11] = [
    ("", Activation::None, false),
    ("ReLU", Activation::Relu, false),
    ("residual + ReLU", Activation::Relu, true),
    ("leaky ReLU", Activation::LeakyRelu { slope: 0.01 }, false),
    ("ReLU6", Activation::Relu6, false),
    ("SiLU", Activation::Silu, false),
    ("residual + SiLU", Activation::Silu, true),
    ("GELU", Activation::Gelu, false),
    ("residual + GELU", Activation::Gelu, true),
    ("GELU by tanh", Activation::GeluTanh, false),
    ("residual + GELU by tanh", Activation::GeluTanh, true),
];

/// What is computed backward: and what the activation's gradient is found from, and whether the residual has one.
const BACKWARD: [(&str, Activation, Derivative, bool); 15] = [
    ("", Activation::None, Derivative::Input, false),
    ("ReLU by input", Activation::Relu, Derivative::Input, false),
    (
        "ReLU by output",
        Activation::Relu,
        Derivative::Output,
        false,
    ),
    ("ReLU by mask", Activation::Relu, Derivative::Mask, false),
    (
        "residual + ReLU by input",
        Activation::Relu,
        Derivative::Input,
        true,
    ),
    (
        "residual + ReLU by output",
        Activation::Relu,
        Derivative::Output,
        true,
    ),
    (
        "residual + ReLU by mask",
        Activation::Relu,
        Derivative::Mask,
        true,
    ),
    (
        "leaky ReLU by output",
        Activation::LeakyRelu { slope: 0.01 },
        Derivative::Output,
        false,
    ),
    (
        "ReLU6 by output",
        Activation::Relu6,
        Derivative::Output,
        false,
    ),
    ("SiLU", Activation::Silu, Derivative::Input, false),
    ("residual + SiLU", Activation::Silu, Derivative::Input, true),
    ("GELU", Activation::Gelu, Derivative::Input, false),
    ("residual + GELU", Activation::Gelu, Derivative::Input, true),
    (
        "GELU by tanh",
        Activation::GeluTanh,
        Derivative::Input,
        false,
    ),
    (
        "residual + GELU by tanh",
        Activation::GeluTanh,
        Derivative::Input,
        true,
    ),
];

/// The plans of a shape, with what is computed.
fn plans(
    limits: &Limits,
    shape: Shape,
    element: Element,
    every_option: bool,
) -> Result<Vec<(String, Plan)>> {
    let asked = |name: &str| every_option || COMMON.contains(&name);
    let mut plans = vec![];
    let mut push = |name: &str, plan| plans.push((name.to_owned(), plan));
    push("", Plan::statistics(limits, shape, element, None)?);
    push("", Plan::merge(limits, shape.channels(), 8, None)?);
    for (name, activation, residual) in FORWARD {
        if !asked(name) {
            continue;
        }
        let training = Training::default()
            .element(element)
            .activation(activation)
            .residual(residual)
            .mask(activation == Activation::Relu);
        let inference = Inference::default()
            .element(element)
            .activation(activation)
            .residual(residual);
        push(name, Plan::training(limits, shape, &training)?);
        push(name, Plan::inference(limits, shape, &inference)?);
        push(
            name,
            Plan::training_from_moments(limits, shape, 8, &training)?,
        );
    }
    for (name, activation, derivative, residual) in BACKWARD {
        if !asked(name) {
            continue;
        }
        let write = |there: bool| {
            if there {
                Gradient::Write
            } else {
                Gradient::Skip
            }
        };
        let batch = Backward::default()
            .element(element)
            .activation(activation)
            .derivative(derivative)
            .residual(residual)
            .grad_residual(write(residual));
        let also = |more: &str| match name {
            "" => more.to_owned(),
            name => format!("{name}, {more}"),
        };
        let all = 8 * shape.values_per_channel();
        push(name, Plan::backward(limits, shape, &batch)?);
        push(
            name,
            Plan::backward_from_gradients(limits, shape, all, &batch)?,
        );
        let fixed = batch.clone().statistics(Statistics::Fixed);
        push(
            &also("fixed statistics"),
            Plan::backward(limits, shape, &fixed)?,
        );
        let added = batch
            .clone()
            .grad_input(Gradient::Add)
            .grad_gamma(Gradient::Add)
            .grad_beta(Gradient::Add)
            .grad_residual(if residual {
                Gradient::Add
            } else {
                Gradient::Skip
            });
        push(&also("added"), Plan::backward(limits, shape, &added)?);
    }
    Ok(plans)
}

/// The distinct kernels of a GPU with such subgroups.
pub fn kernels(subgroups: SubgroupSizes) -> Result<Vec<Kernel>> {
    let mut seen = HashSet::new();
    let mut kernels = vec![];
    for (number, limits) in devices(subgroups).iter().enumerate() {
        for (sizes, channels_last, every_option) in SHAPES {
            let (shape, layout) = if channels_last {
                (Shape::channels_last(sizes)?, "channels last")
            } else {
                (Shape::channels_first(sizes)?, "channels first")
            };
            let sizes: Vec<_> = sizes.iter().map(usize::to_string).collect();
            let name = format!("{} {layout}", sizes.join("x"));
            for element in Element::ALL {
                let every_option = every_option && number == 0;
                for (options, plan) in plans(limits, shape, element, every_option)? {
                    for (info, wgsl) in plan.wgsl() {
                        let source = (wgsl, limits.subgroups.is_some());
                        if !seen.contains(&source) {
                            kernels.push(kernel(&info, &source, &options, &name));
                            seen.insert(source);
                        }
                    }
                }
            }
        }
    }
    Ok(kernels)
}

fn kernel(
    info: &DispatchInfo,
    (wgsl, subgroups): &(String, bool),
    options: &str,
    shape: &str,
) -> Kernel {
    Kernel {
        about: About {
            stage: info.stage.name().to_owned(),
            walk: info.walk.name().to_owned(),
            element: info.element.name().to_owned(),
            element_bytes: info.element.bytes() as u32,
            width: info.width as u32,
            options: options.to_owned(),
            first: format!(
                "{shape}, {:?} of {} lanes",
                info.combine, info.workgroup_size
            ),
            tensors: Tensors::of(info.stage, wgsl),
        },
        source: Source {
            wgsl: wgsl.clone(),
            entry_point: "main".to_owned(),
            constants: vec![],
            subgroups: *subgroups,
        },
    }
}
