// How a kernel walks a vector. A workgroup does a fixed span of it; in there,
// runs of RUN neighbouring lanes each do a contiguous part. A GPU wants one
// run of all lanes (coalesced loads); a CPU, which finishes one SIMD group
// before it begins the next, wants short runs (whole cache lines in order).
// Rust twin: src/device/traversal.rs.
//: use lanes
override RUN: u32 = LANES;
// A sum leaves one partial a lane, without a barrier, instead of one a
// workgroup: for software adapters, where a barrier costs more than the
// longer sum later on.
override LANE_PARTIALS: bool = false;

struct Chunk {
    // Elements of the vector that this binding covers.
    elements: u32,
    // Index of the chunk's first partial sum.
    first_partial: u32,
    // vec4s that a workgroup does: a multiple of LANES.
    span: u32,
    // vec4s of the vector before this binding.
    first: u32,
}

struct Run {
    first: u32,
    end: u32,
}

// The vec4s first, first + RUN, … below end are this lane's.
fn run_of(chunk: Chunk, workgroup: u32, lane: u32) -> Run {
    let length = chunk.span / (LANES / RUN);
    let start = workgroup * chunk.span + (lane / RUN) * length;
    return Run(start + lane % RUN, min(start + length, (chunk.elements + 3u) / 4u));
}

// x at vec4 i, with zeros for what lies beyond the chunk's last element.
fn parameters_only(x: vec4<f32>, i: u32, elements: u32) -> vec4<f32> {
    // Below 2³¹, for bindings are: signed, which costs software adapters less.
    let left = i32(elements) - i32(4u * i);
    return select(vec4<f32>(), x, vec4<i32>(left) > vec4<i32>(0, 1, 2, 3));
}

