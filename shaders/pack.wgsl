// dst ← src, in the storage of dst
// Moves a word, and half a one.
// Recorded after each gradient that is stored narrow and whose source writes f32.
//: use traversal
@group(0) @binding(0) var<uniform> chunk: Chunk;
@group(0) @binding(1) var<storage, read> src: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> dst: array<Dst>;

@compute @workgroup_size(256)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let mine = run_of(chunk, workgroup.x, lane);
    for (var i = mine.first; i < mine.end; i += RUN) {
        dst[i] = narrow_dst(src[i]);
    }
}
