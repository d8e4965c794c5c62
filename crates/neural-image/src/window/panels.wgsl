// Target, reconstruction, and their difference, each in a viewport of its own, from the
// buffers that training and inference work in.
struct Panel {
    width: u32,
    height: u32,
    // 0: target, 1: reconstruction, 2: difference.
    kind: u32,
    // What the difference is multiplied with.
    gain: f32,
}

@group(0) @binding(0) var<uniform> panel: Panel;
@group(0) @binding(1) var<storage, read> wanted: array<f32>;
@group(0) @binding(2) var<storage, read> values: array<f32>;

struct Corner {
    @builtin(position) position: vec4<f32>,
    @location(0) place: vec2<f32>,
}

// A triangle that covers the viewport.
@vertex
fn vertex(@builtin(vertex_index) index: u32) -> Corner {
    let place = vec2<f32>(f32(index & 1u), f32(index >> 1u)) * 2.0;
    return Corner(vec4<f32>(place.x * 2.0 - 1.0, 1.0 - place.y * 2.0, 0.0, 1.0), place);
}

@fragment
fn fragment(corner: Corner) -> @location(0) vec4<f32> {
    let extent = vec2<u32>(panel.width, panel.height);
    let texel = min(vec2<u32>(corner.place * vec2<f32>(extent)), extent - 1u);
    let at = 3u * (texel.y * panel.width + texel.x);
    let t = vec3<f32>(wanted[at], wanted[at + 1u], wanted[at + 2u]);
    let y = clamp(vec3<f32>(values[at], values[at + 1u], values[at + 2u]), vec3<f32>(0.0), vec3<f32>(1.0));
    var colour = t;
    if (panel.kind == 1u) {
        colour = y;
    } else if (panel.kind == 2u) {
        colour = panel.gain * abs(y - t);
    }
    return vec4<f32>(colour, 1.0);
}
