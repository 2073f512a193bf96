//! Edits of the finalize stage.

use crate::inputs::Input::{
    Bare, Biased, Columns, ColumnsCoefficients, Cumulative, Rows, RowsFarOff, RowsNan, RowsOutlier,
    RowsSplitTeams,
};
use crate::inputs::Path::{Split, Whole};
use crate::{assert_noticed, edit};

#[test]
fn merging_partials_matters() {
    assert_noticed(&[
        // partials
        edit(Rows(Split), "total = merge(total, part);", "total = part;"),
        edit(
            Rows(Split),
            "(bitcast<f32>(partial.y) - frame) + bitcast<f32>(partial.z)",
            "bitcast<f32>(partial.y) - frame",
        ),
        edit(
            Rows(Split),
            "(bitcast<f32>(partial.y) - frame)",
            "bitcast<f32>(partial.y)",
        ),
        edit(
            Rows(Split),
            "bitcast<f32>(partial.w)",
            "bitcast<f32>(partial.z)",
        ),
        edit(Rows(Split), "Moments(partial.x, mean", "Moments(1u, mean"),
        edit(
            RowsFarOff(Split),
            "return bitcast<f32>(part.y) + bitcast<f32>(part.z);",
            "return bitcast<f32>(part.z);",
        ),
        edit(
            RowsSplitTeams,
            "combine(invocation, gather_partials(work, frame))",
            "gather_partials(work, frame)",
        ),
        edit(
            Rows(Split),
            "finalize(work.group, frame",
            "finalize(0u, frame",
        ),
        edit(Rows(Split), "bitcast<U>(c.shift)", "bitcast<U>(c.scale)"),
        edit(
            Rows(Split),
            "store_channel(work.group, channel)",
            "store_channel(0u, channel)",
        ),
        edit(
            ColumnsCoefficients,
            "store_channel(group, channel)",
            "store_channel(0u, channel)",
        ),
        edit(ColumnsCoefficients, "if work.leads", "if !work.leads"),
    ]);
}

#[test]
fn finalize_matters() {
    assert_noticed(&[
        // the mean's remainder
        edit(
            RowsFarOff(Whole),
            "ExactMean(mean, (larger - mean) + smaller)",
            "ExactMean(mean, M(0.0))",
        ),
        edit(
            RowsFarOff(Whole),
            "load_beta(group) - remainder * scale",
            "load_beta(group)",
        ),
        edit(
            RowsFarOff(Whole),
            "load_beta(group) - remainder * scale",
            "load_beta(group) + remainder * scale",
        ),
        edit(
            RowsFarOff(Whole),
            "store_saved(1u, group, remainder)",
            "store_saved(1u, group, M(0.0))",
        ),
        edit(
            RowsFarOff(Whole),
            "frame_larger = abs(frame) >= abs(from_frame)",
            "frame_larger = abs(frame) < abs(from_frame)",
        ),
        edit(
            RowsFarOff(Split),
            "let mean = opaque(frame + from_frame);",
            "let mean = opaque(frame);",
        ),
        // statistics
        edit(
            Rows(Whole),
            "moments.m2 * inverse_count(moments.count)",
            "moments.m2",
        ),
        // a maximum hides what is not a number
        edit(
            RowsNan(Whole),
            "let variance = moments.m2 * inverse_count(moments.count);",
            "let variance = max(moments.m2, 0.0) * params.inverse_count;",
        ),
        edit(
            Bare,
            "sqrt(variance + params.epsilon)",
            "sqrt(variance + 1.1 * params.epsilon + 1e-3)",
        ),
        edit(RowsOutlier(Whole), "1.0 / sqrt(variance", "1.0 / (variance"),
        edit(
            Rows(Whole),
            "store_saved(0u, group, mean)",
            "store_saved(0u, group, M(0.0))",
        ),
        edit(
            Rows(Whole),
            "store_saved(2u, group, invstd)",
            "store_saved(2u, group, variance)",
        ),
        edit(
            Rows(Whole),
            "load_batches(group) + U(1u)",
            "load_batches(group)",
        ),
        edit(Rows(Whole), "store_batches(group, batches);", ""),
        edit(
            Cumulative,
            "params.cumulative != 0u",
            "params.cumulative == 0u",
        ),
        edit(Cumulative, "1.0 / M(batches)", "1.0 / M(batches + U(1u))"),
        edit(
            Rows(Whole),
            "factor * ((mean - running_mean) + remainder)",
            "factor * (mean + remainder)",
        ),
        edit(
            Rows(Whole),
            "store_running(1u, group, running_variance +",
            "store_running(1u, group, running_mean +",
        ),
        edit(Rows(Whole), "variance * bessel(moments.count)", "variance"),
        edit(Biased, "variance * bessel(moments.count)", "variance * 1.1"),
        // gamma and beta
        edit(
            Rows(Whole),
            "load_gamma(group) * invstd",
            "load_beta(group) * invstd",
        ),
        edit(
            Rows(Whole),
            "load_beta(group) - remainder",
            "load_gamma(group) - remainder",
        ),
        edit(Bare, "return M(1.0); }", "return M(0.0); }"),
        edit(
            Columns(Split),
            "1u * (params.vector_stride",
            "1u * (params.vector_stride + 4u",
        ),
        edit(
            Rows(Whole),
            "apply(work, finalize(work.group,",
            "apply(work, finalize(work.group / 2u,",
        ),
    ]);
}
