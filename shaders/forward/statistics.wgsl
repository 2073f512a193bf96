// Stage: moments of each unit. A partial is (count, frame, mean from the frame, M2): one vec4 per channel and split.
@compute @workgroup_size(WORKGROUP_SIZE)
fn main(invocation: Invocation) {
    let work = locate(invocation.lane, invocation.workgroup);
    let origin = frame(work);
    let moments = combine(invocation, gather(work, origin));
    if work.leads {
        for (var k = 0u; k < CHANNELS; k++) {
            let channel = work.group * CHANNELS + k - params.first_channel;
            store_partial(
                work.split * params.channels + channel,
                vec4(
                    moments.count,
                    bitcast<u32>(component(origin, k)),
                    bitcast<u32>(component(moments.mean, k)),
                    bitcast<u32>(component(moments.m2, k)),
                ),
            );
        }
    }
}
