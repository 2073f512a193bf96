// The moments of a subgroup's lanes together: first the mean of all, then every lane's spread about it.
fn combine_subgroup(moments: Moments) -> Moments {
    let count = subgroupAdd(moments.count);
    let mean = subgroupAdd(moments.mean * f32(moments.count)) / f32(max(count, 1u));
    let delta = moments.mean - mean;
    return Moments(count, mean, subgroupAdd(moments.m2 + delta * delta * f32(moments.count)));
}
