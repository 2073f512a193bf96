//! Edits of how a batch in several places becomes one.

use crate::common::sharded::Merging::{Directly, First};
use crate::inputs::Input::{Shards, ShardsFarOff};
use crate::{assert_noticed, edit};

#[test]
fn shards_matter() {
    assert_noticed(&[
        edit(ShardsFarOff(First), "bitcast<u32>(exact.remainder)", "0u"),
        edit(Shards(First), "bitcast<u32>(exact.mean)", "0u"),
        edit(
            Shards(First),
            "bitcast<u32>(moments.m2),\n        );",
            "0u,\n        );",
        ),
        edit(
            Shards(First),
            "store_moments(work.group",
            "store_moments(0u",
        ),
        edit(
            ShardsFarOff(First),
            "part.x == 0u && tried",
            "false && tried",
        ),
        edit(
            ShardsFarOff(Directly),
            "part.x == 0u && tried",
            "false && tried",
        ),
        edit(
            Shards(Directly),
            "total = merge(total, part);",
            "total = part;",
        ),
        edit(
            Shards(Directly),
            "return 1.0 / f32(max(count, 1u));",
            "return params.inverse_count;",
        ),
        edit(
            Shards(Directly),
            "return f32(count) / f32(count - 1u);",
            "return 1.0;",
        ),
        edit(
            Shards(First),
            "if SHARDED && params.unbiased != 0u",
            "if SHARDED && params.unbiased == 0u",
        ),
        edit(
            Shards(Directly),
            "let grad_gamma = load_grad_gamma(work.group);",
            "let grad_gamma = load_grad_beta(work.group);",
        ),
        edit(
            Shards(First),
            "store_channel(work.group, coeff",
            "store_channel(0u, coeff",
        ),
        // of shards that are added up
        edit(Shards(First), "]) + v)", "]) * 0.0 + v)"),
    ]);
}
