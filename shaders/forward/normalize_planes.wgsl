// Stage, inner contiguous with few values of a channel in a row (7x7): a unit is rows that go through all channels, walked
// along memory. Jumping from row to row for each channel would lose the processor's prefetcher.

struct Plane {
    mean: V,
    scale: V,
    shift: V,
}

// The coefficients of an access whose first value is value number `position` of `channel`: of that channel, and of the
// next for what is beyond its values.
fn plane_coefficients(channel: u32, position: u32) -> Plane {
    let own = params.inner - position;
    let a = coefficients(channel);
    let b = coefficients(channel + u32(own < WIDTH));
    let next = vec4(0u, 1u, 2u, 3u) >= vec4(own);
    return Plane(
        select(V(a.mean), V(b.mean), next),
        select(V(a.scale), V(b.scale), next),
        select(V(a.shift), V(b.shift), next),
    );
}

fn apply_plane(x: V, plane: Plane) -> V {
    return (x - plane.mean) * plane.scale + plane.shift;
}

@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let y = work.y - work.x;
    let step = params.row_stride;
    let first = (params.first_column + work.column) * WIDTH;
    // from access to access, without a division for each
    let channels_on = TEAM_COLUMNS * WIDTH / params.inner;
    let values_on = TEAM_COLUMNS * WIDTH % params.inner;
    var row = work.row;
    while row < work.row_end {
        let four = row + 4u <= work.row_end;
        let start = work.x + row * step;
        let end = start + work.column_end;
        var channel = first / params.inner;
        var position = first % params.inner;
        for (var i = start + work.column; i < end; i += TEAM_COLUMNS) {
            let plane = plane_coefficients(channel, position);
            if four {
                // four rows in flight
                let a = load_x(i);
                let b = load_x(i + step);
                let c = load_x(i + 2u * step);
                let d = load_x(i + 3u * step);
                store_y(y + i, apply_plane(a, plane));
                store_y(y + i + step, apply_plane(b, plane));
                store_y(y + i + 2u * step, apply_plane(c, plane));
                store_y(y + i + 3u * step, apply_plane(d, plane));
            } else {
                store_y(y + i, apply_plane(load_x(i), plane));
            }
            position += values_on;
            let over = position >= params.inner;
            position -= select(0u, params.inner, over);
            channel += channels_on + u32(over);
        }
        row += select(1u, 4u, four);
    }
}
