//! Packing and unpacking on the device, against the crate `half`.

use half::{bf16, f16};

use crate::device::Gpu;
use crate::device::kernel::{Access, Constants, Format, Formats, Kernel};
use crate::device::vector::Vector;
use crate::format::{Rounding, Storage};

const CONVERT: Kernel = Kernel {
    name: "convert",
    text: &["
        //: use noise
        override DRAW: u32 = 0u;
        @group(0) @binding(0) var<storage, read> x: array<X>;
        @group(0) @binding(1) var<storage, read_write> y: array<Y>;

        @compute @workgroup_size(64)
        fn main(@builtin(global_invocation_id) id: vec3<u32>) {
            let i = id.y * 65536u + id.x;
            if i < arrayLength(&y) {
                y[i] = dithered_y(wide_x(x[i]), noise_at(i, DRAW));
            }
        }
    "],
    bindings: &[("x", Access::Read), ("y", Access::Write)],
    vectors: &["x", "y"],
    structs: &[],
};

const NEAREST: Rounding = Rounding::Nearest;

/// A multiple of four values, from one format to another.
fn convert(gpu: &Gpu, bytes: &[u8], from: Storage, to: Format, draw: u32) -> Vec<u8> {
    use wgpu::BufferUsages as Usage;
    let formats: Formats = vec![("x", Format { storage: from, rounding: NEAREST }), ("y", to)];
    let constants: Constants = vec![("DRAW", f64::from(draw))];
    let pipeline = gpu.variant(&CONVERT, &formats, &constants);
    let elements = bytes.len() / from.bytes();
    let size = (elements * to.storage.bytes()) as u64;
    let x = gpu.buffer("x", bytes.len() as u64, Usage::STORAGE | Usage::COPY_DST).unwrap();
    let y = gpu.buffer("y", size, Usage::STORAGE | Usage::COPY_SRC).unwrap();
    gpu.upload(&x, bytes).unwrap();
    let group = pipeline.bind(gpu, &[x.as_entire_binding(), y.as_entire_binding()]);
    let mut encoder = gpu.device().create_command_encoder(&Default::default());
    {
        let mut pass = encoder.begin_compute_pass(&Default::default());
        pass.set_pipeline(pipeline.pipeline());
        pass.set_bind_group(0, &group, &[]);
        let vec4s = elements as u32 / 4;
        pass.dispatch_workgroups(vec4s.min(65536).div_ceil(64), vec4s.div_ceil(65536), 1);
    }
    gpu.queue().submit([encoder.finish()]);
    pollster::block_on(gpu.read_buffer(&y, 0..size)).unwrap()
}

fn to_halves(gpu: &Gpu, values: &[f32], to: Format, draw: u32) -> Vec<u16> {
    let bytes = convert(gpu, bytemuck::cast_slice(values), Storage::F32, to, draw);
    bytemuck::pod_collect_to_vec(&bytes)
}

fn wide(storage: Storage, bits: u16) -> f32 {
    match storage {
        Storage::Bf16 => bf16::from_bits(bits).to_f32(),
        _ => f16::from_bits(bits).to_f32(),
    }
}

/// Rounds as the crate does, but never from finite to infinite.
fn nearest(storage: Storage, x: f32) -> u16 {
    let (bits, largest) = match storage {
        Storage::Bf16 => (bf16::from_f32(x).to_bits(), bf16::MAX.to_bits()),
        _ => (f16::from_f32(x).to_bits(), f16::MAX.to_bits()),
    };
    match x.is_finite() && wide(storage, bits).is_infinite() {
        true => largest | (bits & 0x8000),
        false => bits,
    }
}

const NARROW: [Storage; 2] = [Storage::F16, Storage::Bf16];

#[test]
fn all_patterns_come_back_as_they_were() {
    let gpu = Gpu::new().unwrap();
    let all: Vec<u16> = (0..=u16::MAX).collect();
    for storage in NARROW {
        let bytes = bytemuck::cast_slice(&all);
        let widened = convert(&gpu, bytes, storage, Format::default(), 0);
        let widened: Vec<f32> = bytemuck::pod_collect_to_vec(&widened);
        for rounding in [NEAREST, Rounding::Stochastic] {
            let back = convert(&gpu, bytes, storage, Format { storage, rounding }, 5);
            let back: Vec<u16> = bytemuck::pod_collect_to_vec(&back);
            for ((&bits, &found), &back) in all.iter().zip(&widened).zip(&back) {
                let expected = wide(storage, bits);
                let what = format!("{storage} {bits:#06x}: {found:?}, {back:#06x}");
                if expected.is_nan() {
                    assert!(found.is_nan() && wide(storage, back).is_nan(), "{what}");
                    continue;
                }
                // An f32 so small may be taken for zero by a device.
                let flushed = expected.is_subnormal() && found == 0.0;
                assert!(found.to_bits() == expected.to_bits() || flushed, "{what}");
                assert!(back == bits || (flushed && back & 0x7fff == 0), "{what}");
            }
        }
    }
}

/// Values around every place where rounding, range or representation changes.
fn samples() -> Vec<f32> {
    let mut samples = vec![0.0, -0.0, f32::INFINITY, f32::NEG_INFINITY, f32::NAN, -f32::NAN];
    samples.extend([f32::MAX, f32::MIN, 65504.0, 65519.996, 65520.0, 65536.0, 1e6, -1e6]);
    samples.push(f32::from_bits(0x7f80_0001));
    // Every exponent with the fractions around ties, of both signs.
    for exponent in 1..255u32 {
        for high in [0u32, 1, 2, 3, 0x3f, 0x40, 0x7e, 0x7f, 0x155, 0x3fe, 0x3ff] {
            for (shift, ties) in [(13, 0x1000u32), (16, 0x8000)] {
                for low in [0, 1, ties - 1, ties, ties + 1, 2 * ties - 1] {
                    let fraction = ((high << shift) | low) & 0x7f_ffff;
                    let bits = (exponent << 23) | fraction;
                    samples.extend([f32::from_bits(bits), -f32::from_bits(bits)]);
                }
            }
        }
    }
    // And below 2⁻¹⁴ all the ties of f16's last places, with their neighbours.
    for units in 0..2048u32 {
        let tie = (units as f32 + 0.5) * 2f32.powi(-24);
        for bits in [tie.to_bits() - 1, tie.to_bits(), tie.to_bits() + 1] {
            samples.push(f32::from_bits(bits));
        }
    }
    samples.resize(samples.len().next_multiple_of(4), 1.0);
    samples
}

#[test]
fn a_vector_is_read_as_f32_from_any_element() {
    let gpu = Gpu::new().unwrap();
    let values: Vec<f32> = (0..131).map(|i| 0.5 * i as f32).collect();
    for storage in NARROW {
        let vector = Vector::stored(&gpu, "halves", values.len(), storage).unwrap();
        let mut halves: Vec<u16> = values.iter().map(|&x| nearest(storage, x)).collect();
        halves.push(0);
        gpu.upload(vector.buffer(), bytemuck::cast_slice(&halves)).unwrap();
        assert_eq!(vector.read(&gpu).unwrap(), values, "{storage}");
        for range in [0..1, 3..8, 64..66, 129..131, 130..200] {
            let expected = &values[range.start..range.end.min(values.len())];
            assert_eq!(vector.read_range(&gpu, range).unwrap(), expected, "{storage}");
        }
    }
}

#[test]
fn packing_is_that_of_half_bit_for_bit() {
    let gpu = Gpu::new().unwrap();
    let samples = samples();
    for storage in NARROW {
        let found = to_halves(&gpu, &samples, Format { storage, rounding: NEAREST }, 0);
        for (&x, &found) in samples.iter().zip(&found) {
            let expected = nearest(storage, x);
            let what = format!("{storage} of {x:e}: {found:#06x}, not {expected:#06x}");
            if x.is_nan() {
                assert!(wide(storage, found).is_nan(), "{what}");
            } else {
                assert_eq!(found, expected, "{what}");
            }
        }
    }
}

/// The two values of the format that x lies between.
fn neighbours(storage: Storage, x: f32) -> [f32; 2] {
    let bits = nearest(storage, x.abs());
    let near = wide(storage, bits);
    let (low, high) = if near > x.abs() { (bits - 1, bits) } else { (bits, bits + 1) };
    [low, high].map(|bits| wide(storage, bits).copysign(x))
}

#[test]
fn stochastic_rounding_is_unbiased() {
    const N: usize = 1 << 18;
    let gpu = Gpu::new().unwrap();
    // Among them values of which almost all noise rounds down, or of f16's last place.
    let values = [1.0 + 1e-3, -1.0007, 3.1234567, 1.0 + 2f32.powi(-20), 1e-7, 1.3e-8, 6.1e-5];
    for storage in NARROW {
        let format = Format { storage, rounding: Rounding::Stochastic };
        for x in values {
            let [low, high] = neighbours(storage, x).map(f64::from);
            let found = to_halves(&gpu, &vec![x; N], format, 3);
            let found: Vec<f64> =
                found.iter().map(|&bits| f64::from(wide(storage, bits))).collect();
            assert!(found.iter().all(|&y| y == low || y == high), "{storage} of {x:e}");
            let chance = (f64::from(x) - low) / (high - low);
            let sigma = (high - low).abs() * (chance * (1.0 - chance) / N as f64).sqrt();
            let mean = found.iter().sum::<f64>() / N as f64;
            // Sixteen random bits know chances to 2⁻¹⁶.
            let known = (high - low).abs() * 2f64.powi(-16);
            let off = (mean - f64::from(x)).abs();
            assert!(
                off <= 4.0 * sigma + known,
                "{storage} of {x:e}: off by {off:e}, σ = {sigma:e}"
            );
        }
        // What is representable stays as it is, and so does zero.
        for x in [1.5f32, 0.0, -2.0] {
            let found = to_halves(&gpu, &vec![x; 1024], format, 3);
            assert!(found.iter().all(|&bits| wide(storage, bits) == x), "{storage} of {x}");
        }
        // Too small for f16 by far: next to never anything but zero.
        let found = to_halves(&gpu, &vec![1e-30; N], format, 3);
        assert!(storage == Storage::Bf16 || found.iter().all(|&bits| bits == 0));
    }
}

#[test]
fn stochastic_rounding_draws_anew_and_reproducibly() {
    let gpu = Gpu::new().unwrap();
    let format = Format { storage: Storage::Bf16, rounding: Rounding::Stochastic };
    let values = vec![1.0 + 1.0 / 256.0; 4096];
    let draw = |n| to_halves(&gpu, &values, format, n);
    let (first, again, next) = (draw(1), draw(1), draw(2));
    assert_eq!(first, again);
    // Halves of the elements agree by chance: 4σ of 4096 fair coins is 128.
    let same = first.iter().zip(&next).filter(|(a, b)| a == b).count();
    assert!((2048 - 128..2048 + 128).contains(&same), "{same} of 4096 agree");
    for step in [1, 2, 3, 4] {
        let same = first.iter().zip(&first[step..]).filter(|(a, b)| a == b).count();
        assert!((2048 - 132..2048 + 132).contains(&same), "{same} agree {step} apart");
    }
}
