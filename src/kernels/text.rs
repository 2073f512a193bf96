//! The text of a kernel: shader files joined in a fixed order, after a generated head.
//!
//! The files are plain WGSL. What differs between variants is generated here and nowhere else: the constants and type
//! names that the files use, the bindings, and the accessors through which the files reach their tensors. An accessor
//! reads and writes `u32` words: storage that holds counts beside floats keeps every bit that way, and one binding can
//! serve several tensors.

use std::fmt::Write;

use crate::plan::{Combine, Kernel, Lanes, Needs, PARAMETERS_WGSL, Role, Stage, Walk};

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
    /// Words in one element: 4 or 1.
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
pub(crate) fn text(kernel: &Kernel, needs: Needs, bound: &[Bound], slots: &[Slot]) -> String {
    let mut text = head(kernel, needs, slots);
    for &(role, _) in kernel.stage.roles() {
        let slot = bound
            .iter()
            .find(|bound| bound.role == role)
            .map(|bound| (bound.slot, slots[bound.slot].width));
        text += &accessors(role, kernel, slot);
    }
    for file in files(kernel) {
        text += "\n";
        text += file;
    }
    text
}

fn files(kernel: &Kernel) -> Vec<&'static str> {
    let (shared, gather, apply): (&[_], _, _) = match kernel.walk {
        Walk::Rows => (
            &[],
            shader!("forward/gather/rows.wgsl"),
            shader!("forward/apply/rows.wgsl"),
        ),
        Walk::Columns => (
            &[],
            shader!("forward/gather/columns.wgsl"),
            shader!("forward/apply/columns.wgsl"),
        ),
        Walk::Planes => (&[], "", ""),
        // wide plans are normalized by columns
        Walk::Wide => (&[], shader!("forward/wide/gather.wgsl"), ""),
        Walk::Quads => (
            &[shader!("shared/quads.wgsl")],
            shader!("forward/gather/quads.wgsl"),
            shader!("forward/apply/quads.wgsl"),
        ),
    };
    let combine: &[_] = match kernel.combine {
        Combine::Lane => &[shader!("combine/lane.wgsl")],
        Combine::Workgroup => &[shader!("combine/workgroup.wgsl")],
        Combine::Subgroup => &[
            shader!("shared/subgroup_moments.wgsl"),
            shader!("combine/subgroup.wgsl"),
        ],
        Combine::Subgroups => &[
            shader!("shared/subgroup_moments.wgsl"),
            shader!("combine/subgroups.wgsl"),
        ],
    };
    let normalize: &[_] = match (kernel.stage, kernel.walk) {
        (Stage::Normalize | Stage::NormalizeGiven, Walk::Columns) => {
            &[shader!("forward/normalize_columns.wgsl")]
        }
        (Stage::Normalize | Stage::NormalizeGiven, Walk::Planes) => {
            &[shader!("forward/normalize_planes.wgsl")]
        }
        (Stage::Normalize | Stage::NormalizeGiven, _) => {
            &[apply, shader!("forward/normalize.wgsl")]
        }
        _ => &[],
    };
    let entry = match kernel.walk {
        Walk::Wide => shader!("forward/wide/finish.wgsl"),
        _ => shader!("forward/gather_units.wgsl"),
    };
    let stage: &[_] = match kernel.stage {
        Stage::Statistics => &[shader!("forward/statistics.wgsl"), gather, entry],
        Stage::Coefficients => &[
            shader!("forward/channel.wgsl"),
            shader!("forward/coefficients.wgsl"),
            gather,
            entry,
        ],
        Stage::Finalize => &[
            shader!("forward/channel.wgsl"),
            shader!("forward/finalize.wgsl"),
        ],
        Stage::Normalize => &[shader!("forward/coefficients_from/stage.wgsl")],
        Stage::NormalizeGiven => &[shader!("forward/coefficients_from/statistics.wgsl")],
        Stage::Fused if kernel.walk == Walk::Wide => &[
            shader!("forward/channel.wgsl"),
            gather,
            shader!("forward/wide/fused.wgsl"),
        ],
        Stage::Fused => &[
            shader!("forward/channel.wgsl"),
            gather,
            apply,
            shader!("forward/fused.wgsl"),
        ],
    };
    [
        &[
            shader!("shared/geometry.wgsl"),
            shader!("shared/moments.wgsl"),
            shader!("shared/coefficients.wgsl"),
        ],
        combine,
        shared,
        stage,
        normalize,
    ]
    .concat()
}

/// Constants, type names, the uniform block and the bindings.
fn head(kernel: &Kernel, needs: Needs, slots: &[Slot]) -> String {
    let mut text = format!("// {} by {}\n\n", kernel.stage.name(), kernel.walk.name());
    let mut line = |arguments: std::fmt::Arguments<'_>| {
        text.write_fmt(arguments).expect("a String takes any text");
        text.push('\n');
    };
    let (float, unsigned) = (
        vector("f32", kernel.channels),
        vector("u32", kernel.channels),
    );
    line(format_args!(
        "const WORKGROUP_SIZE: u32 = {}u;",
        kernel.lanes.workgroup_size()
    ));
    let Lanes {
        units_across,
        team_rows,
        team_columns,
    } = kernel.lanes;
    line(format_args!(
        "// the lanes of a workgroup: neighbouring units, and lanes along the rows and columns of each"
    ));
    line(format_args!("const UNITS_ACROSS: u32 = {units_across}u;"));
    line(format_args!("const TEAM_ROWS: u32 = {team_rows}u;"));
    line(format_args!("const TEAM_COLUMNS: u32 = {team_columns}u;"));
    line(format_args!("// values in one access of x and y"));
    line(format_args!("const WIDTH: u32 = {}u;", kernel.width));
    line(format_args!("// channels of a unit"));
    line(format_args!("const CHANNELS: u32 = {}u;", kernel.channels));
    line(format_args!("const SAVES: bool = {};", needs.saved));
    line(format_args!("const UPDATES: bool = {};", needs.running));
    line(format_args!(
        "// one access, one number per channel of a unit, and the same as bits or counts"
    ));
    line(format_args!("alias V = {};", vector("f32", kernel.width)));
    line(format_args!("alias M = {float};"));
    line(format_args!("alias U = {unsigned};\n"));
    line(format_args!("{PARAMETERS_WGSL}"));
    line(format_args!(
        "@group(0) @binding({PARAMETERS_BINDING}) var<uniform> params: Parameters;"
    ));
    for (index, slot) in slots.iter().enumerate() {
        line(format_args!(
            "@group(0) @binding({}) var<storage, {}> slot{index}: array<{}>;",
            slot_binding(index),
            if slot.read_write {
                "read_write"
            } else {
                "read"
            },
            vector("u32", slot.width),
        ));
    }
    // an access of one channel is that channel's; one of several channels has one value of each
    let fold = match (kernel.width, kernel.channels) {
        (4, 1) => "(v.x + v.y) + (v.z + v.w)",
        _ => "v",
    };
    let component = if kernel.channels == 4 { "m[k]" } else { "m" };
    line(format_args!(
        "\n// the sum per channel of one access's values"
    ));
    line(format_args!("fn fold(v: V) -> M {{ return {fold}; }}"));
    line(format_args!("// the number of channel k of a unit"));
    line(format_args!(
        "fn component(m: M, k: u32) -> f32 {{ return {component}; }}\n"
    ));
    text
}

fn vector(scalar: &str, width: u64) -> String {
    if width == 4 {
        format!("vec4<{scalar}>")
    } else {
        scalar.to_owned()
    }
}

/// The functions by which the files reach a tensor; `slot` is its number and width, or none where it is absent.
fn accessors(role: Role, kernel: &Kernel, slot: Option<(usize, u64)>) -> String {
    let name = role.name();
    let channels = kernel.channels;
    match role {
        Role::X => {
            let (n, _) = slot.expect("x is always bound");
            let part = if kernel.width == 4 { "[k]" } else { "" };
            format!(
                "fn load_x(i: u32) -> V {{ return bitcast<V>(slot{n}[i]); }}\n\
                 fn load_x_value(i: u32, k: u32) -> f32 {{ return bitcast<f32>(slot{n}[i]{part}); }}\n"
            )
        }
        Role::Y => {
            let (n, _) = slot.expect("y is always bound");
            let bits = vector("u32", kernel.width);
            format!("fn store_y(i: u32, v: V) {{ slot{n}[i] = bitcast<{bits}>(v); }}\n")
        }
        Role::Partials => {
            let (n, _) = slot.expect("partials are always bound");
            let mut text = format!(
                "fn load_partial(i: u32) -> vec4<u32> {{ return slot{n}[params.partials + i]; }}\n"
            );
            if kernel.stage == Stage::Statistics {
                text = format!(
                    "fn store_partial(i: u32, v: vec4<u32>) {{ slot{n}[params.partials + i] = v; }}\n"
                );
            }
            text
        }
        Role::Gamma | Role::Beta | Role::Mean | Role::Variance => {
            let load = match slot {
                Some(slot) => load_vector(name, slot, channels, "0u"),
                None if role == Role::Gamma => "U(0x3f800000u)".to_owned(),
                None => "U(0u)".to_owned(),
            };
            format!("fn load_{name}(group: u32) -> M {{ return bitcast<M>({load}); }}\n")
        }
        Role::Running => {
            let (load, store) = load_store(name, slot, channels);
            let batches = slot.map_or("U(0u)".to_owned(), |slot| {
                load_vector(name, slot, channels, "2u")
            });
            let store_batches = slot.map_or(String::new(), |slot| {
                store_vector(name, slot, channels, "2u", "v")
            });
            format!(
                "{load}{store}\
                 fn load_batches(group: u32) -> U {{ return {batches}; }}\n\
                 fn store_batches(group: u32, v: U) {{ {store_batches} }}\n"
            )
        }
        Role::Saved => load_store(name, slot, channels).1,
        Role::Coefficients => {
            let (load, store) = load_store(name, slot, channels);
            if kernel.stage == Stage::Normalize {
                load
            } else {
                store
            }
        }
    }
}

/// `load_NAME` and `store_NAME` of packed vectors.
fn load_store(name: &str, slot: Option<(usize, u64)>, channels: u64) -> (String, String) {
    let load = slot.map_or("U(0u)".to_owned(), |slot| {
        load_vector(name, slot, channels, "vector")
    });
    let store = slot.map_or(String::new(), |slot| {
        store_vector(name, slot, channels, "vector", "bitcast<U>(v)")
    });
    (
        format!("fn load_{name}(vector: u32, group: u32) -> M {{ return bitcast<M>({load}); }}\n"),
        format!("fn store_{name}(vector: u32, group: u32, v: M) {{ {store} }}\n"),
    )
}

/// The index of a unit's word `k` in a packed vector, in elements of the slot.
fn vector_index(name: &str, width: u64, channels: u64, vector: &str, k: u64) -> String {
    match (width, channels) {
        (4, _) => format!("params.{name} + {vector} * (params.vector_stride / 4u) + group"),
        (_, 1) => format!("params.{name} + {vector} * params.vector_stride + group"),
        _ => format!("params.{name} + {vector} * params.vector_stride + group * 4u + {k}u"),
    }
}

fn load_vector(name: &str, (slot, width): (usize, u64), channels: u64, vector: &str) -> String {
    let word = |k| {
        let index = vector_index(name, width, channels, vector, k);
        format!("slot{slot}[{index}]")
    };
    if width == channels {
        word(0)
    } else {
        format!("U({})", [0, 1, 2, 3].map(word).join(", "))
    }
}

fn store_vector(
    name: &str,
    (slot, width): (usize, u64),
    channels: u64,
    vector: &str,
    bits: &str,
) -> String {
    let word = |k: u64| vector_index(name, width, channels, vector, k);
    if width == channels {
        format!("slot{slot}[{}] = {bits};", word(0))
    } else {
        let stores = ["x", "y", "z", "w"]
            .iter()
            .zip(0..)
            .map(|(part, k)| format!("slot{slot}[{}] = bits.{part};", word(k)));
        format!(
            "let bits = {bits}; {}",
            stores.collect::<Vec<_>>().join(" ")
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::Access;

    /// Every kernel that a plan can ask for.
    fn kernels() -> Vec<Kernel> {
        let stages = [
            Stage::Statistics,
            Stage::Coefficients,
            Stage::Finalize,
            Stage::Normalize,
            Stage::NormalizeGiven,
            Stage::Fused,
        ];
        let shapes = [
            (Walk::Rows, 1, 1),
            (Walk::Rows, 4, 1),
            (Walk::Columns, 1, 1),
            (Walk::Columns, 4, 4),
            (Walk::Quads, 4, 4),
            (Walk::Wide, 4, 4),
            (Walk::Planes, 4, 1),
        ];
        let combines = [
            (Combine::Lane, [8, 1, 1]),
            (Combine::Workgroup, [16, 16, 1]),
            (Combine::Subgroups, [1, 4, 64]),
            (Combine::Subgroup, [1, 1, 32]),
        ];
        let mut kernels = vec![];
        for stage in stages {
            for (walk, width, channels) in shapes {
                for (combine, [units_across, team_rows, team_columns]) in combines {
                    kernels.push(Kernel {
                        stage,
                        walk,
                        width,
                        channels,
                        combine,
                        lanes: Lanes {
                            units_across,
                            team_rows,
                            team_columns,
                        },
                    });
                }
            }
        }
        kernels.retain(|kernel| {
            let normalizes = matches!(kernel.stage, Stage::Normalize | Stage::NormalizeGiven);
            // what is wide is fused wherever its channels are whole
            let wide = matches!(kernel.stage, Stage::Statistics | Stage::Fused);
            (kernel.stage != Stage::Finalize || (kernel.width, kernel.channels) == (1, 1))
                && (kernel.walk != Walk::Wide || wide)
                && (kernel.walk != Walk::Planes || normalizes)
        });
        kernels
    }

    fn all_needs() -> Vec<Needs> {
        let bit = |bits: u32, n: u32| bits >> n & 1 == 1;
        (0..16)
            .map(|bits| Needs {
                gamma: bit(bits, 0),
                beta: bit(bits, 1),
                running: bit(bits, 2),
                saved: bit(bits, 3),
                given: true,
            })
            .collect()
    }

    /// A slot for each tensor.
    fn apart(kernel: &Kernel, needs: Needs, wide_vectors: bool) -> (Vec<Bound>, Vec<Slot>) {
        let roles = kernel.stage.roles().iter();
        roles
            .filter(|(role, _)| needs.has(*role))
            .enumerate()
            .map(|(slot, &(role, access))| {
                let width = match role {
                    Role::X | Role::Y => kernel.width,
                    Role::Partials => 4,
                    _ if wide_vectors => kernel.channels,
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
            naga::valid::Capabilities::SUBGROUP,
        )
        .subgroup_stages(naga::valid::ShaderStages::COMPUTE)
        .subgroup_operations(naga::valid::SubgroupOperationSet::all())
        .validate(&module)
        .unwrap_or_else(|e| panic!("{}\n{text}", e.emit_to_string(text)));
        module
    }

    #[test]
    fn every_variant_is_valid_and_within_eight_storage_buffers() {
        let mut texts = std::collections::HashSet::new();
        for kernel in kernels() {
            for needs in all_needs() {
                for wide in [false, true] {
                    let (bound, slots) = apart(&kernel, needs, wide);
                    let text = text(&kernel, needs, &bound, &slots);
                    if !texts.insert(text.clone()) {
                        continue;
                    }
                    let module = validate(&text);
                    let count = |space: fn(&naga::AddressSpace) -> bool| {
                        module
                            .global_variables
                            .iter()
                            .filter(|(_, variable)| space(&variable.space))
                            .count()
                    };
                    assert!(count(|s| matches!(s, naga::AddressSpace::Storage { .. })) <= 8);
                    assert!(count(|s| *s == naga::AddressSpace::Uniform) <= 4);
                }
            }
        }
        assert!(texts.len() > 100);
    }

    #[test]
    fn every_variant_is_valid_with_all_tensors_in_one_binding() {
        for kernel in kernels() {
            if kernel.width != 1
                || matches!(
                    kernel.stage,
                    Stage::Statistics | Stage::Coefficients | Stage::Finalize
                )
            {
                continue;
            }
            let needs = Needs {
                gamma: true,
                beta: true,
                running: true,
                saved: true,
                given: true,
            };
            let (bound, _) = apart(&kernel, needs, false);
            let bound: Vec<_> = bound.iter().map(|b| Bound { slot: 0, ..*b }).collect();
            let slot = Slot {
                width: 1,
                read_write: true,
            };
            validate(&text(&kernel, needs, &bound, &[slot]));
        }
    }
}
