//! The shuffle of `shaders/shared/shuffle.wgsl` gives the bits of its Rust twin.

use std::sync::LazyLock;

use kutta::Gpu;
use kutta::data::shuffle::{SHUFFLE_WGSL, epoch_key, index};
use kutta::device::Vector;
use kutta::device::{Access, Kernel};
use kutta::wgpu;

/// One device for all tests here.
static GPU: LazyLock<Gpu> = LazyLock::new(|| Gpu::new().unwrap_or_else(|e| panic!("{e}")));

/// Answers queries (position, count, seed low, seed high, epoch, key): the
/// index of that key, and the index of the key of that seed and epoch.
const ANSWER: Kernel = Kernel {
    name: "shuffle_answer",
    text: &[
        SHUFFLE_WGSL,
        "
        @group(0) @binding(0) var<storage, read> queries: array<u32>;
        @group(0) @binding(1) var<storage, read_write> answers: array<u32>;
        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            if (id.x >= arrayLength(&queries) / 6u) {
                return;
            }
            let q = id.x * 6u;
            let key = epoch_key(queries[q + 2u], queries[q + 3u], queries[q + 4u]);
            answers[id.x * 2u] = shuffle_index(queries[q], queries[q + 1u], queries[q + 5u]);
            answers[id.x * 2u + 1u] = shuffle_index(queries[q], queries[q + 1u], key);
        }
        ",
    ],
    bindings: &[("queries", Access::Read), ("answers", Access::Write)],
    vectors: &[],
    structs: &[],
};

fn answers_of_the_device(gpu: &Gpu, queries: &[[u32; 6]]) -> Vec<u32> {
    let usage = wgpu::BufferUsages::STORAGE | wgpu::BufferUsages::COPY_DST;
    let bytes: &[u8] = bytemuck::cast_slice(queries);
    let input = gpu.buffer("queries", bytes.len() as u64, usage).unwrap();
    gpu.queue().write_buffer(&input, 0, bytes);
    let output = Vector::zeros(gpu, "answers", queries.len() * 2).unwrap();
    let answer = gpu.pipeline(&ANSWER, &Vec::new());
    let bind = answer.bind(gpu, &[input.as_entire_binding(), output.binding(0..output.len())]);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(answer.pipeline());
        pass.set_bind_group(0, &bind, &[]);
        pass.dispatch_workgroups((queries.len() as u32).div_ceil(64), 1, 1);
    }
    gpu.queue().submit([encoder.finish()]);
    output.read(gpu).unwrap().iter().map(|bits| bits.to_bits()).collect()
}

#[test]
fn wgsl_and_rust_agree() {
    let counts = [
        0,
        1,
        2,
        3,
        4,
        5,
        15,
        16,
        17,
        63,
        64,
        65,
        255,
        256,
        257,
        1000,
        59_947,
        60_000,
        65_535,
        65_536,
        65_537,
        1 << 20,
        (1 << 30) - 1,
        (1 << 30) + 1,
        1 << 31,
        u32::MAX,
    ];
    let seeds = [0, 1, 7, u64::from(u32::MAX), 1 << 32, u64::MAX, 0x0123_4567_89ab_cdef];
    let mut queries = Vec::new();
    for (i, count) in counts.into_iter().enumerate() {
        for (j, seed) in seeds.into_iter().enumerate() {
            for epoch in [0, 1, 2, 1000, u32::MAX] {
                for sample in 0..13u32 {
                    // All of the small counts, some of the large, and beyond.
                    let position = if count < 20 { sample } else { count / 11 * sample };
                    let key = (i * 7 + j) as u32 ^ epoch.wrapping_mul(0x0101_0107);
                    queries.push([position, count, seed as u32, (seed >> 32) as u32, epoch, key]);
                }
            }
        }
    }
    let answers = answers_of_the_device(&GPU, &queries);
    assert_eq!(answers.len(), queries.len() * 2);
    for (&[position, count, low, high, epoch, key], found) in queries.iter().zip(answers.chunks(2))
    {
        let seed = u64::from(high) << 32 | u64::from(low);
        let expected =
            [index(position, count, key), index(position, count, epoch_key(seed, epoch))];
        assert_eq!(found, expected, "{position} of {count}, seed {seed}, epoch {epoch}, key {key}");
    }
}

/// A whole epoch of MNIST's size, as the device orders it.
#[test]
fn an_epoch_on_the_device_visits_every_sample() {
    let count = 60_000;
    let queries: Vec<_> = (0..count).map(|position| [position, count, 7, 0, 3, 0]).collect();
    let answers = answers_of_the_device(&GPU, &queries);
    let mut order: Vec<_> = answers.chunks(2).map(|pair| pair[1]).collect();
    assert_ne!(order[..100], Vec::from_iter(0..100));
    order.sort_unstable();
    assert_eq!(order, Vec::from_iter(0..count));
}
