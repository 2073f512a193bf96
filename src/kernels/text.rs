//! The text of a kernel: shader files joined in a fixed order, after a generated head.
//!
//! The files are plain WGSL. What differs between variants is generated here and nowhere else: the constants and type
//! names that the files use, the bindings, and the accessors through which the files reach their tensors. An accessor
//! reads and writes `u32` words: storage that holds counts beside floats keeps every bit that way, and one binding can
//! serve several tensors.

use std::fmt::Write;

use crate::activation::{Activation, Derivative};
use crate::element::Element;
use crate::plan::{Access, Combine, Kernel, Lanes, Needs, PARAMETERS_WGSL, Role, Stage, Walk};

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
    text
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
    if kernel.walk == Walk::Quads {
        files.push(shader!("shared/quads.wgsl"));
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
        Walk::Rows => shader!("walk/rows.wgsl"),
        Walk::Columns => shader!("walk/columns.wgsl"),
        Walk::Wide => shader!("walk/wide_apply.wgsl"),
        Walk::Quads => shader!("walk/quads.wgsl"),
        Walk::Planes | Walk::Words => "",
    }
}

/// A stage that has its coefficients from elsewhere.
fn elementwise(walk: Walk) -> &'static [&'static str] {
    match walk {
        Walk::Rows => &[shader!("walk/rows.wgsl"), shader!("walk/stage.wgsl")],
        Walk::Quads => &[shader!("walk/quads.wgsl"), shader!("walk/stage.wgsl")],
        // what is wide is normalized by columns
        Walk::Columns | Walk::Wide => &[shader!("walk/stage_columns.wgsl")],
        Walk::Planes => &[shader!("walk/stage_planes.wgsl")],
        Walk::Words => &[shader!("walk/stage_words.wgsl")],
    }
}

fn forward_files(files: &mut Vec<&'static str>, kernel: &Kernel, needs: &Needs) {
    let wide = kernel.walk == Walk::Wide;
    let gather: &[_] = match kernel.walk {
        Walk::Rows => &[shader!("forward/gather/rows.wgsl")],
        Walk::Columns => &[shader!("forward/gather/columns.wgsl")],
        Walk::Wide => &[
            shader!("walk/wide.wgsl"),
            shader!("forward/wide/gather.wgsl"),
        ],
        Walk::Quads => &[shader!("forward/gather/quads.wgsl")],
        Walk::Planes | Walk::Words => &[],
    };
    let units = if wide {
        shader!("forward/wide/finish.wgsl")
    } else {
        shader!("forward/gather_units.wgsl")
    };
    let moments = || {
        let mut moments = vec![shader!("forward/moments.wgsl")];
        moments.extend(combine(kernel, shader!("forward/subgroup_moments.wgsl")));
        moments
    };
    let element = shader!("forward/element.wgsl");
    match kernel.stage {
        Stage::Statistics => {
            files.extend(moments());
            files.push(shader!("forward/statistics.wgsl"));
            files.extend(gather);
            files.push(units);
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
            files.push(units);
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
            files.push(element);
            files.extend(gather);
            files.push(apply(kernel.walk));
            files.push(if wide {
                shader!("forward/wide/fused.wgsl")
            } else {
                shader!("forward/fused.wgsl")
            });
        }
        Stage::Normalize | Stage::NormalizeGiven => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(activation(needs.activation));
            files.push(element);
            files.push(if kernel.stage == Stage::Normalize {
                shader!("walk/channel_from_stage.wgsl")
            } else {
                shader!("forward/channel_of_statistics.wgsl")
            });
            files.extend(elementwise(kernel.walk));
        }
        _ => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(activation(needs.activation));
            files.push(shader!("forward/mask.wgsl"));
        }
    }
}

fn backward_files(files: &mut Vec<&'static str>, kernel: &Kernel, needs: &Needs) {
    let wide = kernel.walk == Walk::Wide;
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
        Some(Derivative::Input) => shader!("backward/gradient_from/input.wgsl"),
        Some(Derivative::Output) => shader!("backward/gradient_from/output.wgsl"),
        Some(Derivative::Mask) => shader!("backward/gradient_from/mask.wgsl"),
    });
    element.push(shader!("backward/element.wgsl"));
    let gather: &[_] = match kernel.walk {
        Walk::Rows => &[shader!("backward/gather/rows.wgsl")],
        Walk::Columns => &[shader!("backward/gather/columns.wgsl")],
        Walk::Wide => &[
            shader!("walk/wide.wgsl"),
            shader!("backward/wide/gather.wgsl"),
        ],
        Walk::Quads => &[shader!("backward/gather/quads.wgsl")],
        Walk::Planes | Walk::Words => &[],
    };
    let units = if wide {
        shader!("backward/wide/finish.wgsl")
    } else {
        shader!("backward/sums_of_units.wgsl")
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
            files.push(units);
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
            files.push(if wide {
                shader!("backward/wide/fused.wgsl")
            } else {
                shader!("backward/fused.wgsl")
            });
        }
        _ => {
            files.push(shader!("combine/nothing.wgsl"));
            files.extend(element);
            files.push(shader!("walk/channel_from_stage.wgsl"));
            files.extend(elementwise(kernel.walk));
        }
    }
}

/// Constants, type names, the uniform block and the bindings.
fn head(kernel: &Kernel, needs: &Needs, slots: &[Slot]) -> String {
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
    line(format_args!("// values in one access of a tensor"));
    line(format_args!("const WIDTH: u32 = {}u;", kernel.width));
    line(format_args!("// channels of a unit"));
    line(format_args!("const CHANNELS: u32 = {}u;", kernel.channels));
    let forward = needs.forward();
    line(format_args!("const RESIDUAL: bool = {};", needs.residual));
    if needs.gradients().is_some() {
        line(format_args!("// by the batch's own statistics"));
        line(format_args!("const BATCH: bool = {};", !needs.given));
    } else {
        line(format_args!("const SAVES: bool = {};", forward.saved));
        line(format_args!("const UPDATES: bool = {};", forward.running));
        line(format_args!(
            "const SHARDED: bool = {};",
            forward.from_shards
        ));
    }
    if let Activation::LeakyRelu { slope } = needs.activation {
        line(format_args!("const SLOPE: f32 = {slope:e}f;"));
    }
    line(format_args!(
        "// one access and its truth values; one number per channel of a unit, and the same as bits or counts"
    ));
    line(format_args!("alias V = {};", vector("f32", kernel.width)));
    line(format_args!("alias B = {};", vector("bool", kernel.width)));
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
        (2, 1) => "v.x + v.y",
        _ => "v",
    };
    let component = if kernel.channels == 1 { "m" } else { "m[k]" };
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
    if width == 1 {
        scalar.to_owned()
    } else {
        format!("vec{width}<{scalar}>")
    }
}

/// Where the tensors of the shape of x start in their bindings, read once: a uniform that is read between stores is read
/// again for each of them.
fn starts(roles: &[(Role, Access)]) -> String {
    let mut names: Vec<_> = roles
        .iter()
        .map(|(role, _)| *role)
        .filter(|role| role.has_shape_of_x() || *role == Role::Mask)
        .map(Role::name)
        .collect();
    if names.contains(&Role::Mask.name()) {
        names.push("first_bit");
    }
    if names.is_empty() {
        return String::new();
    }
    let fields: String = names
        .iter()
        .map(|name| format!("    {name}: u32,\n"))
        .collect();
    let values: Vec<_> = names.iter().map(|name| format!("params.{name}")).collect();
    format!(
        "struct Starts {{\n{fields}}}\n\nfn starts() -> Starts {{ return Starts({}); }}\n\n",
        values.join(", ")
    )
}

/// The coefficients of a unit's channels and of the values of an access, how the one become the other, and how a stage
/// leaves them for the next.
fn coefficients(kernel: &Kernel, needs: &Needs, slot: Option<(usize, u64)>) -> String {
    let names: &[&str] = if needs.gradients().is_some() {
        &["mean", "scale", "shift", "slope", "offset"]
    } else {
        &["mean", "scale", "shift"]
    };
    let each = |of: &dyn Fn(&str) -> String| {
        let all: Vec<_> = names.iter().map(|name| of(name)).collect();
        all.join(", ")
    };
    let fields =
        |ty: &str| -> String { names.iter().map(|n| format!("    {n}: {ty},\n")).collect() };
    let mut text = format!(
        "\n// the coefficients of a unit's channels, and those of an access's values\n\
         struct Channel {{\n{}}}\n\nstruct Coefficients {{\n{}}}\n\n",
        fields("M"),
        fields("V")
    );
    match kernel.walk {
        Walk::Quads => {
            text += &format!(
                "fn spread_one(c: Channel, k: u32) -> Coefficients {{ return Coefficients({}); }}\n\
                 fn spread_positions(c: Channel, position: vec4<u32>) -> Coefficients {{ return Coefficients({}); }}\n",
                each(&|name| format!("V(component(c.{name}, k))")),
                each(&|name| format!("by_position(c.{name}, position)")),
            );
        }
        Walk::Planes | Walk::Words => {
            text += &format!(
                "fn blend(a: Channel, b: Channel, of_b: B) -> Coefficients {{ return Coefficients({}); }}\n",
                each(&|name| format!("select(V(a.{name}), V(b.{name}), of_b)")),
            );
        }
        Walk::Rows | Walk::Columns | Walk::Wide => {
            text += &format!(
                "fn spread(c: Channel) -> Coefficients {{ return Coefficients({}); }}\n",
                each(&|name| format!("V(c.{name})")),
            );
        }
    }
    let name = Role::Coefficients.name();
    if kernel.stage.is_elementwise() {
        if let Some(slot) = slot {
            let load =
                |vector: usize| load_vector(name, slot, kernel.channels, &format!("{vector}u"));
            let loads: Vec<_> = (0..names.len())
                .map(|vector| format!("bitcast<M>({})", load(vector)))
                .collect();
            text += &format!(
                "fn load_channel(group: u32) -> Channel {{ return Channel({}); }}\n",
                loads.join(", ")
            );
        }
    } else {
        let stores: String = slot.map_or(String::new(), |slot| {
            let store = |(vector, field): (usize, &&str)| {
                let bits = format!("bitcast<U>(c.{field})");
                let store = store_vector(name, slot, kernel.channels, &format!("{vector}u"), &bits);
                format!("    {{ {store} }}\n")
            };
            names.iter().enumerate().map(store).collect()
        });
        text += &format!("fn store_channel(group: u32, c: Channel) {{\n{stores}}}\n");
    }
    text
}

/// The functions by which the files reach the tensors.
struct Accessors<'a> {
    kernel: &'a Kernel,
    needs: &'a Needs,
    /// The number and the width of a tensor's slot.
    slot: &'a dyn Fn(Role) -> Option<(usize, u64)>,
}

impl Accessors<'_> {
    /// Those of the stage's tensors, and what its files call in place of tensors that are absent.
    fn text(&self, roles: &[(Role, Access)], files: &[&str]) -> String {
        let mut text = String::new();
        for &(role, access) in roles {
            text += &self.present(role, access);
        }
        let has = |role| roles.iter().any(|&(there, _)| there == role);
        for &role in Role::ALL {
            if has(role) {
                continue;
            }
            for function in self.absent(role).lines() {
                let end = function.find('(').expect("each line is a function");
                let call = &function["fn ".len()..=end];
                if files.iter().any(|file| file.contains(call)) {
                    text += function;
                    text.push('\n');
                }
            }
        }
        text
    }

    fn present(&self, role: Role, access: Access) -> String {
        let name = role.name();
        let slot = (self.slot)(role).expect("a stage's tensors are bound");
        let (n, width) = slot;
        let channels = self.kernel.channels;
        let writes = access == Access::Write;
        match role {
            _ if role.has_shape_of_x() => self.values(role, n, writes),
            Role::Mask if writes => format!(
                "fn store_mask(at: Starts, word: u32, bits: u32) {{ slot{n}[at.mask + word] = bits; }}\n{}",
                bits_of(self.kernel.width)
            ),
            Role::Mask => load_mask(n, self.kernel.width),
            Role::Partials | Role::Shards | Role::Moments => {
                let words = self.words_of_partial();
                let vector = vector("u32", words);
                let start = format!("params.{name}");
                if writes {
                    let function = if role == Role::Moments {
                        "store_moments"
                    } else {
                        "store_partial"
                    };
                    let store = if width == words {
                        format!("slot{n}[{start} + i] = v;")
                    } else {
                        (0..words)
                            .map(|k| format!("slot{n}[{start} + {words}u * i + {k}u] = v[{k}]; "))
                            .collect()
                    };
                    return format!("fn {function}(i: u32, v: {vector}) {{ {store} }}\n");
                }
                let load = if width == words {
                    format!("slot{n}[{start} + i]")
                } else {
                    let word = |k| format!("slot{n}[{start} + {words}u * i + {k}u]");
                    format!(
                        "{vector}({})",
                        (0..words).map(word).collect::<Vec<_>>().join(", ")
                    )
                };
                format!("fn load_partial(i: u32) -> {vector} {{ return {load}; }}\n")
            }
            Role::Coefficients => String::new(),
            Role::Gamma | Role::Beta | Role::Mean | Role::Variance => {
                let load = load_vector(name, slot, channels, "0u");
                format!("fn load_{name}(group: u32) -> M {{ return bitcast<M>({load}); }}\n")
            }
            Role::GradGamma | Role::GradBeta => {
                let load = load_vector(name, slot, channels, "0u");
                let load = format!("bitcast<M>({load})");
                if !writes {
                    return format!("fn load_{name}(group: u32) -> M {{ return {load}; }}\n");
                }
                let value = if self.needs.adds(role) {
                    format!("bitcast<U>({load} + v)")
                } else {
                    "bitcast<U>(v)".to_owned()
                };
                let store = store_vector(name, slot, channels, "0u", &value);
                format!("fn store_{name}(group: u32, v: M) {{ {store} }}\n")
            }
            Role::Running => {
                let load = load_vector(name, slot, channels, "vector");
                let store = store_vector(name, slot, channels, "vector", "bitcast<U>(v)");
                let load_batches = load_vector(name, slot, channels, "2u");
                let store_batches = store_vector(name, slot, channels, "2u", "v");
                format!(
                    "fn load_running(vector: u32, group: u32) -> M {{ return bitcast<M>({load}); }}\n\
                     fn store_running(vector: u32, group: u32, v: M) {{ {store} }}\n\
                     fn load_batches(group: u32) -> U {{ return {load_batches}; }}\n\
                     fn store_batches(group: u32, v: U) {{ {store_batches} }}\n"
                )
            }
            _ if writes => {
                let store = store_vector(name, slot, channels, "vector", "bitcast<U>(v)");
                format!("fn store_{name}(vector: u32, group: u32, v: M) {{ {store} }}\n")
            }
            _ => {
                let load = load_vector(name, slot, channels, "vector");
                format!(
                    "fn load_{name}(vector: u32, group: u32) -> M {{ return bitcast<M>({load}); }}\n"
                )
            }
        }
    }

    /// What stands in for a tensor that the plan does without.
    fn absent(&self, role: Role) -> String {
        let name = role.name();
        match role {
            Role::X | Role::Residual => {
                format!("fn load_{name}(at: Starts, i: u32) -> V {{ return V(0.0); }}\n")
            }
            Role::GradInput | Role::GradResidual => {
                format!("fn store_{name}(at: Starts, i: u32, v: V) {{}}\n")
            }
            Role::Gamma => "fn load_gamma(group: u32) -> M { return M(1.0); }\n".to_owned(),
            Role::Beta => "fn load_beta(group: u32) -> M { return M(0.0); }\n".to_owned(),
            Role::GradGamma | Role::GradBeta => {
                format!("fn store_{name}(group: u32, v: M) {{}}\n")
            }
            Role::Running => "fn load_running(vector: u32, group: u32) -> M { return M(0.0); }\n\
                 fn store_running(vector: u32, group: u32, v: M) {}\n\
                 fn load_batches(group: u32) -> U { return U(0u); }\n\
                 fn store_batches(group: u32, v: U) {}\n"
                .to_owned(),
            Role::Saved => "fn store_saved(vector: u32, group: u32, v: M) {}\n".to_owned(),
            Role::Partials if self.needs.gradients().is_some() => {
                "fn load_partial(i: u32) -> vec2<u32> { return vec2(0u); }\n".to_owned()
            }
            _ => String::new(),
        }
    }

    const fn words_of_partial(&self) -> u64 {
        if self.needs.gradients().is_some() {
            2
        } else {
            4
        }
    }

    /// Loads and stores of a tensor of the shape of x.
    fn values(&self, role: Role, n: usize, writes: bool) -> String {
        let name = role.name();
        let width = self.kernel.width;
        let half = self.needs.element != Element::F32;
        let word = format!("slot{n}[at.{name} + i]");
        let load = match (half, width) {
            (false, _) => format!("bitcast<V>({word})"),
            (true, 4) => format!("vec4(unpack({word}.x), unpack({word}.y))"),
            (true, 2) => format!("unpack({word})"),
            // two values to a word
            (true, _) => format!("unpack(slot{n}[(at.{name} + i) / 2u])[(at.{name} + i) % 2u]"),
        };
        let mut text = String::new();
        if !writes || self.needs.adds(role) {
            text += &format!("fn load_{name}(at: Starts, i: u32) -> V {{ return {load}; }}\n");
        }
        if role == Role::X {
            let value = match (half, width) {
                (false, 4) => format!("bitcast<f32>({word}[k])"),
                (true, 4) => format!("unpack({word}[k / 2u])[k % 2u]"),
                (true, 2) => format!("unpack({word})[k % 2u]"),
                _ => load,
            };
            text += &format!(
                "fn load_x_value(at: Starts, i: u32, k: u32) -> f32 {{ return {value}; }}\n"
            );
        }
        if writes {
            let value = if self.needs.adds(role) {
                format!("load_{name}(at, i) + v")
            } else {
                "v".to_owned()
            };
            let store = match (half, width) {
                (false, _) => format!("{word} = bitcast<{}>({value});", vector("u32", width)),
                (true, 4) => {
                    format!("let sum = {value}; {word} = vec2(pack(sum.xy), pack(sum.zw));")
                }
                (true, _) if self.kernel.walk == Walk::Words => format!(
                    "let bits = pack({value}); \
                     {word} = select(bits, (bits & 0xffffu) | ({word} & 0xffff0000u), 2u * i + 1u == params.values);"
                ),
                (true, _) => format!("{word} = pack({value});"),
            };
            text += &format!("fn store_{name}(at: Starts, i: u32, v: V) {{ {store} }}\n");
        }
        text
    }
}

fn bits_of(width: u64) -> String {
    let bits: Vec<_> = match width {
        1 => vec!["u32(b)".to_owned()],
        _ => (0..width)
            .map(|k| format!("(u32(b[{k}]) << {k}u)"))
            .collect(),
    };
    format!(
        "fn bits_of(b: B) -> u32 {{ return {}; }}\n",
        bits.join(" | ")
    )
}

fn load_mask(n: usize, width: u64) -> String {
    let vectors = match width {
        1 => ("bits", "1u"),
        2 => ("vec2(bits)", "vec2(1u, 2u)"),
        _ => ("vec4(bits)", "vec4(1u, 2u, 4u, 8u)"),
    };
    let (bits, places) = vectors;
    let zero = if width == 1 {
        "0u".to_owned()
    } else {
        format!("vec{width}(0u)")
    };
    format!(
        "fn load_mask(at: Starts, i: u32) -> B {{\n    \
             let bit = at.first_bit + i * WIDTH;\n    \
             let bits = slot{n}[at.mask + bit / 32u] >> (bit % 32u);\n    \
             return ({bits} & {places}) != {zero};\n}}\n"
    )
}

/// The index of a unit's word `k` in a packed vector, in elements of the slot.
fn vector_index(name: &str, width: u64, channels: u64, vector: &str, k: u64) -> String {
    if width == channels {
        let stride = if width == 1 {
            "params.vector_stride".to_owned()
        } else {
            format!("(params.vector_stride / {width}u)")
        };
        format!("params.{name} + {vector} * {stride} + group")
    } else {
        format!("params.{name} + {vector} * params.vector_stride + group * {channels}u + {k}u")
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
        let words: Vec<_> = (0..channels).map(word).collect();
        format!("U({})", words.join(", "))
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
            .zip(0..channels)
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
    use crate::options::{Backward, Gradient, Inference, Running, Statistics, Training};

    const FORWARD: [Stage; 8] = [
        Stage::Statistics,
        Stage::Merge,
        Stage::Coefficients,
        Stage::Finalize,
        Stage::Normalize,
        Stage::NormalizeGiven,
        Stage::Fused,
        Stage::Mask,
    ];

    const BACKWARD: [Stage; 6] = [
        Stage::GradientSums,
        Stage::GradientCoefficients,
        Stage::GradientFinalize,
        Stage::GivenGradients,
        Stage::GradientInput,
        Stage::GradientFused,
    ];

    /// Every kernel of these stages that a plan can ask for.
    fn kernels(stages: &[Stage], element: Element) -> Vec<Kernel> {
        let shapes = [
            (Walk::Rows, 1, 1),
            (Walk::Rows, 2, 1),
            (Walk::Rows, 4, 1),
            (Walk::Columns, 1, 1),
            (Walk::Columns, 2, 2),
            (Walk::Columns, 4, 4),
            (Walk::Quads, 4, 4),
            (Walk::Wide, 4, 4),
            (Walk::Planes, 4, 1),
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
            let half = element != Element::F32;
            let stage = kernel.stage;
            let writes_values =
                stage.is_elementwise() || matches!(stage, Stage::Fused | Stage::GradientFused);
            let words = match stage {
                Stage::Mask => kernel.walk == Walk::Words,
                Stage::Normalize | Stage::NormalizeGiven | Stage::GradientInput => {
                    kernel.walk != Walk::Words || (half && kernel.width == 2)
                }
                _ => kernel.walk != Walk::Words,
            };
            words
                && (!stage.is_finalize()
                    || (kernel.walk, kernel.width) == (Walk::Rows, 1))
                && (kernel.walk != Walk::Wide || !stage.is_elementwise())
                && (kernel.walk != Walk::Planes || stage.is_elementwise())
                && (kernel.combine == Combine::Lane || !stage.is_elementwise())
                && (kernel.width != 2 || half)
                // what is written is written in whole words
                && (!half || !writes_values || kernel.width > 1)
        });
        kernels
    }

    const ACTIVATIONS: [Activation; 7] = [
        Activation::None,
        Activation::Relu,
        Activation::LeakyRelu { slope: 0.01 },
        Activation::Relu6,
        Activation::Silu,
        Activation::Gelu,
        Activation::GeluTanh,
    ];

    fn forward_needs(element: Element) -> Vec<Needs> {
        let bit = |bits: u32, n: u32| bits >> n & 1 == 1;
        let mut all = vec![
            Needs::moments(element, false),
            Needs::moments(element, true),
        ];
        for activation in ACTIVATIONS {
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
        for activation in ACTIVATIONS {
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
            Stage::Coefficients | Stage::Fused => {
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
            Stage::GradientFused => needs.sums() && needs.writes_values(),
        }
    }

    /// A slot for each tensor.
    fn apart(kernel: &Kernel, needs: &Needs, wide_vectors: bool) -> (Vec<Bound>, Vec<Slot>) {
        let roles = kernel.stage.roles(needs).into_iter();
        roles
            .enumerate()
            .map(|(slot, (role, access))| {
                let width = match role {
                    _ if role.has_shape_of_x() => {
                        (kernel.width * kernel.element.bytes()).div_ceil(4)
                    }
                    Role::Mask => 1,
                    Role::Partials => needs.partial_bytes() / 4,
                    Role::Shards | Role::Moments if wide_vectors => 4,
                    Role::Shards | Role::Moments => 1,
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
            naga::valid::Capabilities::SUBGROUP
                | naga::valid::Capabilities::SHADER_FLOAT16_IN_FLOAT32,
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
                let splittable = matches!(
                    kernel.stage,
                    Stage::Fused | Stage::GradientFused | Stage::GradientCoefficients
                );
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
                    Stage::Mask => {
                        Needs::training(&training.activation(Activation::Relu).mask(true))
                    }
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
}
