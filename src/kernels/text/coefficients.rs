//! The coefficients of channels and of accesses: one list of names for their structs and for all that is done to each.

use super::lines;
use super::vectors::{load_vector, store_vector};
use crate::plan::{Kernel, Needs, Role, Walk};

/// The coefficients of a unit's channels and of the values of an access, how the one become the other, and how a stage
/// leaves them for the next.
pub(super) fn coefficients(kernel: &Kernel, needs: &Needs, slot: Option<(usize, u64)>) -> String {
    let names: &[&str] = if needs.gradients().is_some() {
        &["mean", "scale", "shift", "slope", "offset"]
    } else {
        &["mean", "scale", "shift"]
    };
    let each = |of: &dyn Fn(&str) -> String| {
        let all: Vec<_> = names.iter().map(|name| of(name)).collect();
        all.join(", ")
    };
    let fields = |ty: &str| lines(names.iter().map(|name| format!("    {name}: {ty},\n")));
    let structs = format!(
        "\n// the coefficients of a unit's channels, and those of an access's values\n\
         struct Channel {{\n{}}}\n\nstruct Coefficients {{\n{}}}\n\n",
        fields("M"),
        fields("V")
    );
    let eights = "struct CoefficientsOfEight {\n    a: Coefficients,\n    b: Coefficients,\n}\n\n";
    let one = "// the coefficients of all channels of a unit\nalias Channels = Channel;\n\n";
    let vectors = |of| {
        let each = each(&|name| format!("V({of}.{name})"));
        format!("Coefficients({each})")
    };
    let blended = |of_b| {
        let each = each(&|name| format!("select(V(a.{name}), V(b.{name}), {of_b})"));
        format!("Coefficients({each})")
    };
    let blend = match (kernel.walk, kernel.takes_eights()) {
        (Walk::SharedRuns, true) => format!(
            "fn blend(a: Channel, b: Channel, of_b: Truths) -> CoefficientsOfEight {{ return CoefficientsOfEight({}, {}); }}\n",
            blended("of_b.a"),
            blended("of_b.b"),
        ),
        (Walk::SharedRuns | Walk::Planes | Walk::Words, _) => format!(
            "fn blend(a: Channel, b: Channel, of_b: B) -> Coefficients {{ return {}; }}\n",
            blended("of_b"),
        ),
        _ => String::new(),
    };
    let conversion = match kernel.walk {
        Walk::Quads => format!(
            "fn spread_one(c: Channel, k: u32) -> Coefficients {{ return Coefficients({}); }}\n\
             fn spread_positions(c: Channel, position: vec4<u32>) -> Coefficients {{ return Coefficients({}); }}\n",
            each(&|name| format!("V(component(c.{name}, k))")),
            each(&|name| format!("by_position(c.{name}, position)")),
        ),
        Walk::Planes | Walk::Words => blend,
        Walk::Columns if kernel.takes_eights() => format!(
            "{eights}// the coefficients of all channels of a unit\n\
             struct Channels {{\n    a: Channel,\n    b: Channel,\n}}\n\n\
             fn spread(c: Channels) -> CoefficientsOfEight {{ return CoefficientsOfEight({}, {}); }}\n",
            vectors("c.a"),
            vectors("c.b"),
        ),
        Walk::Rows | Walk::Runs | Walk::SharedRuns if kernel.takes_eights() => format!(
            "{eights}{one}fn spread(c: Channels) -> CoefficientsOfEight {{ return CoefficientsOfEight({0}, {0}); }}\n{blend}",
            vectors("c"),
        ),
        Walk::Rows | Walk::Columns | Walk::Runs | Walk::SharedRuns => format!(
            "{one}fn spread(c: Channels) -> Coefficients {{ return {}; }}\n{blend}",
            vectors("c"),
        ),
    };
    let name = Role::Coefficients.name();
    let load = |slot| {
        let loads = (0..names.len()).map(|vector| {
            let load = load_vector(name, slot, kernel.channels, &format!("{vector}u"));
            format!("bitcast<M>({load})")
        });
        let loads: Vec<_> = loads.collect();
        format!(
            "fn load_channel(group: u32) -> Channel {{ return Channel({}); }}\n",
            loads.join(", ")
        )
    };
    let store = |slot| {
        let stores = names.iter().enumerate().map(|(vector, field)| {
            let bits = format!("bitcast<U>(c.{field})");
            let store = store_vector(name, slot, kernel.channels, &format!("{vector}u"), &bits);
            format!("    {{ {store} }}\n")
        });
        lines(stores)
    };
    let storage = if kernel.stage.is_elementwise() {
        slot.map_or(String::new(), load)
    } else {
        let stores = slot.map_or(String::new(), store);
        format!("fn store_channel(group: u32, c: Channel) {{\n{stores}}}\n")
    };
    [structs, conversion, storage].concat()
}
