fn put_partial(chunk: Chunk, workgroup: u32, lane: u32, squares: vec4<f32>) {
    let own = (squares.x + squares.y) + (squares.z + squares.w);
    if LANE_PARTIALS {
        partials.sums[chunk.first_partial + workgroup * LANES + lane] = own;
    } else {
        let sum = workgroup_sum(lane, own);
        if lane == 0u {
            partials.sums[chunk.first_partial + workgroup] = sum;
        }
    }
}

