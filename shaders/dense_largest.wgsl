// largest[slot] = max |x| of a matrix in rows of whole vec4, as bits; its padding does not count.
// Reads the matrix once; where it clears, writes zero into every slot and reads nothing.
// Called before the products by matrix units that the matrix is an operand of.
struct Operand {
    // Rows, elements of each that count, and vec4 from one row to the next.
    rows: u32,
    columns: u32,
    stride: u32,
    slot: u32,
}

// True: sets all slots to zero.
override CLEARS: bool = false;

@group(0) @binding(0) var<uniform> operand: Operand;
@group(0) @binding(1) var<storage, read> values: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> largest: array<atomic<u32>>;

var<workgroup> most: atomic<u32>;

// As bits |x| is in order, and NaN is above infinity above all else.
fn bits_of(i: u32) -> u32 {
    if (i >= operand.rows * operand.stride) {
        return 0u;
    }
    let bits = bitcast<vec4<u32>>(values[i]) & vec4<u32>(0x7fffffffu);
    let column = vec4<u32>(i % operand.stride * 4u) + vec4<u32>(0u, 1u, 2u, 3u);
    let here = select(vec4<u32>(0u), bits, column < vec4<u32>(operand.columns));
    return max(max(here.x, here.y), max(here.z, here.w));
}

// A maximum is the same in any order, so that of atomics is the same bits on every run.
@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) group: vec3<u32>,
    @builtin(num_workgroups) groups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    if (CLEARS) {
        for (var slot = lane; slot < arrayLength(&largest); slot += 256u) {
            atomicStore(&largest[slot], 0u);
        }
        return;
    }
    if (lane == 0u) {
        atomicStore(&most, 0u);
    }
    workgroupBarrier();
    let first = (group.y * groups.x + group.x) * 2048u + lane;
    var bits = 0u;
    for (var k = 0u; k < 8u; k++) {
        bits = max(bits, bits_of(first + 256u * k));
    }
    atomicMax(&most, bits);
    workgroupBarrier();
    if (lane == 0u) {
        atomicMax(&largest[operand.slot], atomicLoad(&most));
    }
}
