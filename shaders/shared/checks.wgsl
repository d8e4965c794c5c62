// What a source leaves for the verdict, and for `choose`, where it checks a gradient as it
// writes it and no guard reads it again.
struct Checks {
    // 2³² − 1 − i for the first vec4 i of the gradient that held a NaN or an infinity;
    // 0 if none did.
    place: atomic<u32>,
    // Roots of partial sums of squares: as many as the source says.
    roots: array<f32>,
}
