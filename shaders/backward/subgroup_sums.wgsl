// The sums of a subgroup's lanes together.
fn combine_subgroup(sums: Gathered) -> Gathered {
    return Gathered(subgroupAdd(sums.g), subgroupAdd(sums.gx));
}
