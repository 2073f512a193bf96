//! What a kernel's text starts with: constants, type names, the uniform block and the bindings.

use std::fmt::Write;

use super::{PARAMETERS_BINDING, Slot, activates_by_value, slot_binding, vector};
use crate::activation::Activation;
use crate::plan::{Kernel, Lanes, Needs, PARAMETERS_WGSL};
use crate::tuning::Team;

/// Constants, type names, the uniform block and the bindings.
pub(super) fn head(kernel: &Kernel, needs: &Needs, slots: &[Slot]) -> String {
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
    if let Some(held) = kernel.held {
        line(format_args!(
            "// accesses of a tensor that a lane holds in registers"
        ));
        line(format_args!("const HELD_ROWS: u32 = {}u;", held.rows));
        line(format_args!("const HELD_COLUMNS: u32 = {}u;", held.columns));
    }
    line(format_args!("// values in one access of a tensor"));
    line(format_args!("const WIDTH: u32 = {}u;", kernel.width));
    line(format_args!("// channels of a unit"));
    line(format_args!("const CHANNELS: u32 = {}u;", kernel.channels));
    let shared = kernel.team == Team::Workgroup;
    line(format_args!(
        "// whether two accesses of each tensor are in flight while values are written"
    ));
    line(format_args!(
        "const PAIRS: bool = {};",
        kernel.pairs.applied
    ));
    line(format_args!(
        "// whether lanes share units, as on GPUs: each walks little, and others run while it waits, as many as registers are\n\
         // left for"
    ));
    line(format_args!("const SHARED: bool = {shared};"));
    line(format_args!(
        "// whether a lane adds blocks up to parts before it adds them up"
    ));
    line(format_args!(
        "const PARTS: bool = {};",
        !shared || kernel.stage.is_finalize()
    ));
    let forward = needs.forward();
    line(format_args!("const RESIDUAL: bool = {};", needs.residual));
    if needs.gradients().is_some() {
        line(format_args!("// by the batch's own statistics"));
        line(format_args!("const BATCH: bool = {};", !needs.given));
        line(format_args!(
            "// whether two accesses of each tensor are in flight while sums are gathered"
        ));
        line(format_args!(
            "const SUMS_IN_PAIRS: bool = {};",
            kernel.pairs.summed
        ));
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
        "// a vector of an access, of which one of eight halves has two, and its truth values; one number per channel of a\n\
         // unit, and the same as bits or counts"
    ));
    let vector_width = kernel.vector_width();
    line(format_args!("alias V = {};", vector("f32", vector_width)));
    line(format_args!("alias B = {};", vector("bool", vector_width)));
    line(format_args!("alias M = {float};"));
    line(format_args!("alias U = {unsigned};"));
    let activated = if activates_by_value(kernel, needs) {
        1
    } else {
        vector_width
    };
    line(format_args!(
        "// what an activation is evaluated of at once, and its truth values"
    ));
    line(format_args!("alias Z = {};", vector("f32", activated)));
    line(format_args!("alias T = {};", vector("bool", activated)));
    line(format_args!("// all of one access"));
    if kernel.takes_eights() {
        line(format_args!("struct Access {{\n    a: V,\n    b: V,\n}}\n"));
        line(format_args!("struct Truths {{\n    a: B,\n    b: B,\n}}\n"));
    } else {
        line(format_args!("alias Access = V;"));
        line(format_args!("alias Truths = B;\n"));
    }
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
        (4 | 8, 1) => "(v.x + v.y) + (v.z + v.w)",
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
