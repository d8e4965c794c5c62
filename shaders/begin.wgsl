// control ← ready for the first attempt of a chunk, under the host's settings
// Moves nothing of the parameters' size.
// Recorded once before the attempts of a chunk.
//: use partials record prepare failures
@group(0) @binding(0) var<storage, read_write> control: Control;
@group(0) @binding(1) var<uniform> settings: Settings;
@group(0) @binding(2) var<storage, read_write> partials: Partials;
@group(0) @binding(3) var<storage, read_write> loss: array<u32>;

@compute @workgroup_size(1)
fn main() {
    // An attempt whose source failed may have left something.
    forgive_stages();
    loss[0] = NO_LOSS;
    if control.restart != settings.restart {
        control.restart = settings.restart;
        control.next_h = settings.first_h;
        control.error_1 = 1.0;
        control.error_2 = 1.0;
        control.rejections = 0u;
        control.failure = NO_FAILURE;
    }
    control.stages = 0u;
    control.stride = 1u;
    control.per_attempt = settings.stages;
    prepare();
}
