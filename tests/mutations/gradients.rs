//! Edits of the backward pass.

use crate::inputs::Input::{Added, Empty, Frozen, Gradients, GradientsFarOff, GradientsSplitTeams};
use crate::inputs::Layout::{
    Columns, ColumnsApart, LongRow, Quads, QuadsWide, Rows, Runs, SharedRuns, Windows,
};
use crate::inputs::Path::{Split, Subgroup, Subgroups, Whole, Workgroup};
use crate::{assert_noticed, edit};

#[test]
fn sums_of_gradients_matter() {
    assert_noticed(&[
        edit(Gradients(Rows, Whole), "a.g + b.g", "a.g"),
        edit(Gradients(Rows, Whole), "a.gx + b.gx", "b.gx"),
        edit(Gradients(LongRow, Whole), "(*tally).part = Gathered();", ""),
        edit(
            Gradients(LongRow, Whole),
            "(*tally).total = merge((*tally).total, (*tally).part);",
            "(*tally).total = (*tally).part;",
        ),
        edit(
            Gradients(LongRow, Whole),
            "merge(tally.total, tally.part)",
            "tally.part",
        ),
        edit(
            Gradients(LongRow, Whole),
            "merge(tally.total, tally.part)",
            "tally.total",
        ),
        edit(
            Gradients(Rows, Workgroup),
            "combine(invocation, gather(work, forward_coefficients(work.group)))",
            "gather(work, forward_coefficients(work.group))",
        ),
        edit(
            Gradients(Rows, Split),
            "forward_coefficients(work.group)",
            "forward_coefficients(0u)",
        ),
        edit(Gradients(Rows, Subgroup), "subgroupAdd(sums.g)", "sums.g"),
        edit(
            Gradients(Rows, Subgroups),
            "subgroupAdd(sums.gx)",
            "sums.gx",
        ),
        // what an absent activation lets through
        edit(
            Gradients(Rows, Whole),
            "return loaded.dy;",
            "return V(1.0);",
        ),
    ]);
}

#[test]
fn sums_by_rows_and_columns_matter() {
    assert_noticed(&[
        // row after row
        edit(
            Gradients(Runs, Split),
            "forward_coefficients(row.group)",
            "forward_coefficients(0u)",
        ),
        edit(
            Gradients(Runs, Split),
            "finish(row, row.group",
            "finish(row, 0u",
        ),
        edit(
            Gradients(Runs, Split),
            "params.first_split + work.row / groups",
            "params.first_split",
        ),
        edit(Gradients(Runs, Split), "one.split += 1u;", ""),
        edit(Gradients(Rows, Whole), "sum += ga + gb;", "sum += ga;"),
        edit(Gradients(Rows, Whole), "*sum += g;", ""),
        edit(Gradients(Rows, Whole), " + gb * (b.x - c.mean);", ";"),
        edit(
            Gradients(Rows, Whole),
            "*products += g * (a.x - c.mean);",
            "",
        ),
        edit(
            Gradients(Rows, Split),
            "var i = work.start + row * row_stride + work.column;",
            "var i = work.start + row * row_stride;",
        ),
        edit(
            Gradients(Rows, Whole),
            "    absorb(&tally, Gathered(fold(sum), fold(products)));\n    return",
            "    return",
        ),
        edit(Gradients(Columns, Whole), "sum += ga + gb;", "sum += gb;"),
        edit(
            Gradients(Columns, Workgroup),
            "for (; i < end; i += step) {\n        add(",
            "for (; i < end; i += 2u * step) {\n        add(",
        ),
        edit(
            Gradients(Columns, Workgroup),
            "absorb(tally, Gathered(*sum, *products));",
            "",
        ),
        edit(
            Gradients(Columns, Workgroup),
            "    absorb(&tally, Gathered(sum, products));\n    return",
            "    return",
        ),
        edit(Gradients(Columns, Whole), "*sum += g;", ""),
        edit(
            Gradients(Columns, Whole),
            "products += ga * (a.x - c.mean) +",
            "products +=",
        ),
        edit(
            Gradients(Columns, Whole),
            "row += count * TEAM_ROWS;",
            "row += count * TEAM_ROWS + 1u;",
        ),
        edit(
            Gradients(Columns, Workgroup),
            "let step = TEAM_ROWS * params.row_stride;",
            "let step = params.row_stride;",
        ),
    ]);
}

#[test]
fn sums_by_quads_matter() {
    assert_noticed(&[
        edit(
            Gradients(QuadsWide, Whole),
            "add(&channel, a, c, FIRST < vec4(left));",
            "",
        ),
        edit(
            Gradients(QuadsWide, Whole),
            "SECOND < vec4(left)",
            "SECOND <= vec4(left)",
        ),
        edit(Gradients(Quads, Split), "left -= 8u;", ""),
        edit(
            Gradients(Quads, Split),
            "add(&channel, a, c, shared_pair.a);",
            "",
        ),
        edit(
            Gradients(Quads, Split),
            "add(&channel, b, c, shared_pair.b);",
            "",
        ),
        edit(
            Gradients(Quads, Split),
            "(*sums).g.w += sum4(channel.g);",
            "",
        ),
        edit(
            Gradients(Quads, Whole),
            "(*sums).gx.w += sum4(channel.gx);",
            "",
        ),
        edit(
            Gradients(Quads, Whole),
            "spread_one(coefficients, k)",
            "spread_one(coefficients, 0u)",
        ),
        edit(
            Gradients(Quads, Whole),
            "with_channel(M(0.0), k, sum4(channel.gx))",
            "with_channel(M(0.0), k, sum4(channel.g))",
        ),
        edit(Gradients(Quads, Whole), "select(V(0.0), g, own)", "g"),
        edit(
            Gradients(Quads, Whole),
            "select(V(0.0), g * (a.x - c.mean), own)",
            "g * (a.x - c.mean)",
        ),
    ]);
}

#[test]
fn sums_of_channels_that_share_accesses_matter() {
    let input = || Gradients(SharedRuns, Split);
    assert_noticed(&[
        edit(
            input(),
            "forward_coefficients(channel)",
            "forward_coefficients(0u)",
        ),
        edit(
            input(),
            "add_own(&sum, &products, shared_access, c, values_from(WIDTH - part.before));",
            "",
        ),
        edit(input(), "add(&sum, &products, load(at, i), c);", ""),
        edit(input(), "start + part.first;", "start + part.first + 1u;"),
        edit(input(), "shared_access = load(at, end);", ""),
        edit(
            input(),
            "add_own(&sum, &products, shared_access, c, other(values_from(part.after)));",
            "",
        ),
        edit(input(), "select(V(0.0), g, own)", "g"),
        edit(input(), "select(V(0.0), g * (a.x - c.mean), own)", "V(0.0)"),
        edit(
            input(),
            "finish(row, channel, Gathered",
            "finish(row, 0u, Gathered",
        ),
        // what becomes of them
        edit(
            input(),
            "select(V(a.slope), V(b.slope), of_b)",
            "V(a.slope)",
        ),
    ]);
}

#[test]
fn input_gradients_by_quads_matter() {
    assert_noticed(&[
        edit(
            Gradients(Quads, Whole),
            "(begin + WIDTH - 1u) / WIDTH",
            "begin / WIDTH",
        ),
        edit(
            Gradients(Quads, Whole),
            "first * WIDTH - begin, end % WIDTH",
            "first * WIDTH - begin, 0u",
        ),
        edit(
            Gradients(Quads, Whole),
            "let own = spread_one(channel, k);",
            "let own = spread_one(channel, 0u);",
        ),
        edit(
            Gradients(QuadsWide, Whole),
            "store(at, i + 1u, b, own);",
            "store(at, i + 1u, a, own);",
        ),
        edit(
            Gradients(Quads, Whole),
            "store(at, i, load(at, i), own);",
            "",
        ),
        edit(
            Gradients(Quads, Whole),
            "store(at, end, load(at, end), spread_positions(channel, position));",
            "",
        ),
        edit(
            Gradients(Quads, Whole),
            "+ (end - start) * 4u;",
            "+ (end - start) * 4u + 1u;",
        ),
        edit(
            Gradients(Quads, Whole),
            "component(c.slope, k)",
            "component(c.slope, 0u)",
        ),
        edit(
            Gradients(Quads, Whole),
            "by_position(c.offset, position)",
            "by_position(c.slope, position)",
        ),
    ]);
}

#[test]
fn partial_sums_matter() {
    assert_noticed(&[
        edit(
            Gradients(Windows, Whole),
            "+ k - params.first_channel",
            "+ k",
        ),
        edit(
            Gradients(Rows, Split),
            "vec2(bitcast<u32>(component(sums.g, k)), bitcast<u32>(component(sums.gx, k)))",
            "vec2(bitcast<u32>(component(sums.gx, k)), bitcast<u32>(component(sums.g, k)))",
        ),
        edit(
            Gradients(Columns, Split),
            "component(sums.g, k)",
            "component(sums.g, 0u)",
        ),
        edit(
            Gradients(Columns, Split),
            "component(sums.gx, k)",
            "component(sums.gx, 0u)",
        ),
        edit(
            Gradients(Rows, Split),
            "bitcast<f32>(partial.x), bitcast<f32>(partial.y)",
            "bitcast<f32>(partial.y), bitcast<f32>(partial.x)",
        ),
        edit(
            GradientsSplitTeams,
            "combine(invocation, sums_of(tally))",
            "sums_of(tally)",
        ),
        edit(
            Gradients(Rows, Split),
            "finalize(work.group, combine",
            "finalize(0u, combine",
        ),
        edit(
            Gradients(ColumnsApart, Whole),
            "store_channel(group, channel);",
            "store_channel(0u, channel);",
        ),
    ]);
}

#[test]
fn coefficients_of_gradients_matter() {
    assert_noticed(&[
        // the mean's remainder, everywhere it counts
        edit(
            GradientsFarOff(Whole),
            "load_saved(0u, group), load_saved(1u, group)",
            "load_saved(0u, group), M(0.0)",
        ),
        edit(
            GradientsFarOff(Whole),
            "(sums.gx - statistics.remainder * sums.g)",
            "(sums.gx)",
        ),
        edit(
            GradientsFarOff(Split),
            "load_beta(group) - statistics.remainder * scale",
            "load_beta(group)",
        ),
        edit(
            GradientsFarOff(Whole),
            "grad_beta * params.inverse_count - statistics.remainder * channel.slope",
            "grad_beta * params.inverse_count",
        ),
        // gradients of gamma and beta
        edit(
            Gradients(Rows, Whole),
            "sums.g) * statistics.invstd",
            "sums.g)",
        ),
        edit(
            Gradients(Rows, Whole),
            "store_grad_gamma(group, grad_gamma);",
            "store_grad_gamma(group, grad_beta);",
        ),
        edit(
            Gradients(Rows, Split),
            "store_grad_beta(group, grad_beta);",
            "",
        ),
        edit(
            Empty,
            "select(products, M(0.0), params.inverse_count == 0.0)",
            "products",
        ),
        // what becomes of them
        edit(
            Gradients(Rows, Whole),
            "coefficients_of_gradients(group, grad_gamma, grad_beta)",
            "coefficients_of_gradients(group, grad_beta, grad_gamma)",
        ),
        edit(
            Gradients(Rows, Whole),
            "load_gamma(group) * statistics.invstd",
            "load_gamma(group)",
        ),
        edit(
            Gradients(Rows, Whole),
            "statistics.invstd * grad_gamma * params.inverse_count",
            "grad_gamma * params.inverse_count",
        ),
        edit(
            Gradients(Rows, Split),
            "bitcast<U>(c.offset)",
            "bitcast<U>(c.slope)",
        ),
        edit(
            Gradients(Rows, Split),
            "params.coefficients + 3u * params.vector_stride",
            "params.coefficients + 4u * params.vector_stride",
        ),
        edit(
            Gradients(Rows, Whole),
            "apply(work, finalize(work.group, sums",
            "apply(work, finalize(0u, sums",
        ),
        // fixed statistics
        edit(
            Frozen(Rows),
            "load_variance(group) + params.epsilon))",
            "load_variance(group)))",
        ),
        edit(
            Frozen(Rows),
            "Statistics(load_mean(group), M(0.0)",
            "Statistics(M(0.0), M(0.0)",
        ),
        edit(Frozen(Rows), "c.scale * g;", "g;"),
    ]);
}

#[test]
fn what_is_done_to_an_access_matters() {
    assert_noticed(&[
        edit(
            Gradients(Rows, Whole),
            "(x - c.mean) * c.slope",
            "x * c.slope",
        ),
        edit(Gradients(Rows, Whole), "- c.offset)", ")"),
        edit(Gradients(Rows, Whole), "c.scale * ((g", "((g"),
        edit(Frozen(Rows), "store_grad_residual(at, i, g);", ""),
        edit(
            Frozen(Quads),
            "store_grad_residual(at, i, g);",
            "store_grad_residual(at, i, c.scale * g);",
        ),
        // added, by one lane, once
        edit(Added(Whole), "load_grad_input(at, i) + v", "v"),
        edit(Added(Split), "load_grad_residual(at, i) + v", "v"),
        edit(Added(Whole), "]) + v)", "]) - v)"),
        edit(Added(Workgroup), "if writes {", "if true {"),
    ]);
}
