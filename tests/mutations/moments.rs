//! Edits of moments, of their sums and of how lanes combine them.

use crate::inputs::Input::{Columns, Rows, RowsFarOff, RowsLong, RowsOutlier};
use crate::inputs::Path::{Split, Subgroup, Subgroups, Whole, Workgroup};
use crate::{assert_noticed, edit};

#[test]
fn moments_matter() {
    assert_noticed(&[
        edit(Rows(Whole), "a.mean + delta * share", "a.mean"),
        edit(
            Rows(Whole),
            "let count = a.count + b.count;",
            "let count = a.count;",
        ),
        edit(
            RowsLong(Whole),
            " + delta * delta * (f32(a.count) * share)",
            "",
        ),
        edit(Rows(Split), "a.m2 + b.m2", "a.m2"),
        edit(
            RowsFarOff(Whole),
            "Tally(no_moments(), no_moments(), frame)",
            "Tally(no_moments(), no_moments(), M(0.0))",
        ),
        edit(Rows(Whole), "squares - sum * shift", "squares"),
        edit(
            Rows(Whole),
            "let shift = sum / f32(count);",
            "let shift = sum;",
        ),
        edit(Rows(Whole), "(center - frame) + shift", "shift"),
        edit(
            RowsLong(Whole),
            "(*tally).total = merge((*tally).total, (*tally).part);",
            "(*tally).total = (*tally).part;",
        ),
        edit(RowsLong(Whole), "(*tally).part = no_moments();", ""),
        edit(
            RowsLong(Whole),
            "merge(tally.total, tally.part)",
            "tally.part",
        ),
        edit(
            RowsLong(Whole),
            "merge(tally.total, tally.part)",
            "tally.total",
        ),
        // what compilers that reassociate would make of it without `opaque`: lavapipe's does not see through the selects
        edit(
            RowsFarOff(Whole),
            "moments_about((*tally).center, frame,",
            "moments_about((*tally).part.mean + frame, frame,",
        ),
        // a frame that is the outlier
        edit(RowsOutlier(Whole), "max(min(a, b), min(max(a, b), c))", "a"),
        edit(
            RowsFarOff(Split),
            "max(min(a, b), min(max(a, b), c))",
            "M(0.0)",
        ),
        edit(
            RowsFarOff(Whole),
            "bitcast<M>(bitcast<U>(value) ^ U(params.zero))",
            "M(0.0)",
        ),
        // the sum of an access's values
        edit(
            RowsOutlier(Whole),
            "return (v.x + v.y) + (v.z + v.w)",
            "return (v.x + v.y) + v.z",
        ),
        // combining lanes
        edit(Rows(Whole), "return gathered;", "return no_moments();"),
        edit(
            Rows(Workgroup),
            "half >= UNITS_ACROSS",
            "half > UNITS_ACROSS",
        ),
        edit(
            Rows(Workgroup),
            "merge(lanes[lane], lanes[lane + half])",
            "lanes[lane]",
        ),
        edit(
            Columns(Workgroup),
            "return lanes[lane % UNITS_ACROSS];",
            "return lanes[0];",
        ),
        edit(
            Rows(Subgroups),
            "i < invocation.subgroups",
            "i + 1u < invocation.subgroups",
        ),
        edit(
            Rows(Subgroups),
            "subgroup_results[invocation.subgroup] = mine",
            "subgroup_results[invocation.subgroup] = gathered",
        ),
        edit(
            Rows(Subgroups),
            "merge(total, subgroup_results[i])",
            "subgroup_results[i]",
        ),
        edit(
            Rows(Subgroup),
            "return combine_subgroup(gathered);",
            "return gathered;",
        ),
        edit(
            Rows(Subgroup),
            "subgroupAdd(moments.count)",
            "moments.count",
        ),
        edit(Rows(Subgroup), " + delta * delta * f32(moments.count)", ""),
        edit(
            Rows(Subgroups),
            "subgroupAdd(moments.mean * f32(moments.count))",
            "subgroupAdd(moments.mean)",
        ),
    ]);
}
