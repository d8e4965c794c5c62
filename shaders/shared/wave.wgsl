// cos and sin of 2π b·p.
//: use sine
fn kutta_wave(frequency: vec3<f32>, point: vec3<f32>) -> vec2<f32> {
    let turns = dot(frequency, point);
    // A quarter of a turn on, a cosine is a sine.
    let part = vec4<f32>(turns + 0.25, turns, 0.0, 0.0);
    return kutta_sin(6.283185307179586 * (part - floor(part))).xy;
}
