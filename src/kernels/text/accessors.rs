//! The functions by which the files reach the tensors: each reads and writes `u32` words of a slot.

use super::vectors::{load_vector, store_vector};
use super::{lines, vector};
use crate::element::Element;
use crate::plan::{Access, Kernel, Needs, Role, Walk};

/// Where the tensors of the shape of x start in their bindings, read once: a uniform that is read between stores is read
/// again for each of them.
pub(super) fn starts(roles: &[(Role, Access)]) -> String {
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
    let fields = lines(names.iter().map(|name| format!("    {name}: u32,\n")));
    let values: Vec<_> = names.iter().map(|name| format!("params.{name}")).collect();
    format!(
        "struct Starts {{\n{fields}}}\n\nfn starts() -> Starts {{ return Starts({}); }}\n\n",
        values.join(", ")
    )
}

/// The functions by which the files reach the tensors.
pub(super) struct Accessors<'a> {
    pub kernel: &'a Kernel,
    pub needs: &'a Needs,
    /// The number and the width of a tensor's slot.
    pub slot: &'a dyn Fn(Role) -> Option<(usize, u64)>,
}

impl Accessors<'_> {
    /// Those of the stage's tensors, and what its files call in place of tensors that are absent.
    pub fn text(&self, roles: &[(Role, Access)], files: &[&str]) -> String {
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
                        let store =
                            |k| format!("slot{n}[{start} + {words}u * i + {k}u] = v[{k}]; ");
                        lines((0..words).map(store))
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
                format!("fn load_{name}(at: Starts, i: u32) -> Access {{ return Access(); }}\n")
            }
            Role::GradInput | Role::GradResidual => {
                format!("fn store_{name}(at: Starts, i: u32, v: Access) {{}}\n")
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
            (true, 8) => format!("Access(unpack4({word}.xy), unpack4({word}.zw))"),
            (true, 4) => format!("unpack4({word})"),
            (true, 2) => format!("unpack({word})"),
            // two values to a word
            (true, _) => format!("unpack(slot{n}[(at.{name} + i) / 2u])[(at.{name} + i) % 2u]"),
        };
        let mut functions = vec![];
        if !writes || self.needs.adds(role) {
            functions.push(format!(
                "fn load_{name}(at: Starts, i: u32) -> Access {{ return {load}; }}\n"
            ));
        }
        if role == Role::X {
            let value = match (half, width) {
                (false, 4) => format!("bitcast<f32>({word}[k])"),
                (true, 4 | 8) => format!("unpack({word}[k / 2u])[k % 2u]"),
                (true, 2) => format!("unpack({word})[k % 2u]"),
                _ => load,
            };
            functions.push(format!(
                "fn load_x_value(at: Starts, i: u32, k: u32) -> f32 {{ return {value}; }}\n"
            ));
        }
        if writes {
            let value = match (self.needs.adds(role), width) {
                (false, _) => "v".to_owned(),
                (true, 8) => format!("add_access(load_{name}(at, i), v)"),
                (true, _) => format!("load_{name}(at, i) + v"),
            };
            let store = match (half, width) {
                (false, _) => format!("{word} = bitcast<{}>({value});", vector("u32", width)),
                (true, 4) => {
                    format!("let sum = {value}; {word} = vec2(pack(sum.xy), pack(sum.zw));")
                }
                (true, 8) => format!(
                    "let sum = {value}; \
                     {word} = vec4(pack(sum.a.xy), pack(sum.a.zw), pack(sum.b.xy), pack(sum.b.zw));"
                ),
                (true, _) if self.kernel.walk == Walk::Words => format!(
                    "let bits = pack({value}); \
                     {word} = select(bits, (bits & 0xffffu) | ({word} & 0xffff0000u), 2u * i + 1u == params.values);"
                ),
                (true, _) => format!("{word} = pack({value});"),
            };
            functions.push(format!(
                "fn store_{name}(at: Starts, i: u32, v: Access) {{ {store} }}\n"
            ));
        }
        functions.concat()
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
    let load = format!(
        "    let bit = at.first_bit + i * WIDTH;\n    \
             let bits = slot{n}[at.mask + bit / 32u] >> (bit % 32u);\n"
    );
    if width == 8 {
        return format!(
            "fn load_mask(at: Starts, i: u32) -> Truths {{\n{load}    \
                 let places = vec4(1u, 2u, 4u, 8u);\n    \
                 return Truths((vec4(bits) & places) != vec4(0u), (vec4(bits >> 4u) & places) != vec4(0u));\n}}\n"
        );
    }
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
        "fn load_mask(at: Starts, i: u32) -> Truths {{\n{load}    \
             return ({bits} & {places}) != {zero};\n}}\n"
    )
}
