//! Holds matrix units against f64 before anybody trusts them: on one driver sums that were
//! carried through a loop came out wrong.

use super::buffers::{storage, uniform};
use super::form::{Choice, Form};
use super::product::{Kind, Shape, quads};
use crate::device::Gpu;
use crate::device::matrix::Unit;
use crate::error::Error;

/// More than a tile along both sides, whatever the tile, and steps that fill no matrix.
const STEPS: usize = 75;
const ROWS: usize = 133;
const COLUMNS: usize = 150;

/// Two operands with t outermost, of sizes that would be infinite and zero in f16.
struct Operands {
    left: Vec<f32>,
    right: Vec<f32>,
    /// The largest element of each, in magnitude.
    most: [f32; 2],
}

impl Operands {
    fn new() -> Self {
        let mut state = 1u64;
        let mut numbers = |columns: usize, size: f32| -> Vec<f32> {
            let mut next = || {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
                size * ((state >> 40) as f32 / (1u32 << 23) as f32 - 1.0)
            };
            (0..STEPS * columns).map(|_| next()).collect()
        };
        let (left, right) = (numbers(ROWS, 1e6), numbers(COLUMNS, 1e-9));
        let most = [&left, &right].map(|x| x.iter().fold(0.0f32, |most, x| most.max(x.abs())));
        Self { left, right, most }
    }

    /// The sum at p, q over these steps in f64, and how far off it may be.
    fn expected(&self, unit: Unit, p: usize, q: usize, steps: std::ops::Range<usize>) -> [f64; 2] {
        let [left, right] = self.most.map(f64::from);
        let (mut sum, mut size) = (0.0, 0.0);
        let count = steps.len() as f64;
        for t in steps {
            let one = f64::from(self.left[t * ROWS + p]) * f64::from(self.right[t * COLUMNS + q]);
            sum += one;
            size += one.abs();
        }
        // What f16 rounds of two factors and makes zero of the small ones; and what a unit may
        // lose that cuts off where it adds.
        let rounded = match unit {
            Unit::Full => 0.0,
            _ => size * 2f64.powi(-10) + count * 2f64.powi(-27) * left * right,
        };
        [sum, rounded + (count + 16.0) * 2f64.powi(-22) * size]
    }
}

/// Tells what a unit does wrong, if it does.
///
/// # Errors
/// A lost device, or one without the memory.
pub fn self_test(gpu: &Gpu, unit: Unit) -> Result<Result<(), String>, Error> {
    let operands = Operands::new();
    for &form in Form::of_unit(unit) {
        let choice = Choice::split(form, STEPS, 2);
        let judged = match sums(gpu, choice, &operands)? {
            Some(found) => judge(unit, choice, &operands, &found),
            None => Err("its driver refuses the kernels".into()),
        };
        if judged.is_err() {
            return Ok(judged);
        }
    }
    Ok(Ok(()))
}

fn judge(unit: Unit, choice: Choice, operands: &Operands, found: &[f32]) -> Result<(), String> {
    let stride = 4 * quads(COLUMNS);
    for chunk in 0..choice.chunks {
        let first = chunk * choice.chunk_steps;
        let steps = first..STEPS.min(first + choice.chunk_steps);
        for (p, q) in (0..ROWS).flat_map(|p| (0..COLUMNS).map(move |q| (p, q))) {
            let [expected, most] = operands.expected(unit, p, q, steps.clone());
            let sum = found[(chunk * (ROWS + 1) + p) * stride + q];
            let error = (f64::from(sum) - expected).abs();
            if error.is_nan() || error > most {
                let (rows, columns, _) = choice.form.tile();
                return Err(format!(
                    "they fail their test: with tiles of {rows}x{columns} a sum is {sum:e}, which \
                     in f64 is {expected:e}; it may be off by {most:e}"
                ));
            }
        }
    }
    Ok(())
}

/// The partial sums of a weight gradient as a unit computes them, or nothing if the driver does
/// not compile the kernel.
fn sums(gpu: &Gpu, choice: Choice, operands: &Operands) -> Result<Option<Vec<f32>>, Error> {
    let shape = Shape::weight_partials(ROWS, COLUMNS, STEPS);
    let (mut product, groups) = shape.tiled(choice);
    (product.left_slot, product.right_slot) = (0, 1);
    let padded = |values: &[f32], columns: usize| -> Vec<f32> {
        let rest = 4 * quads(columns) - columns;
        let row = |row: &[f32]| row.iter().copied().chain(vec![0.0; rest]).collect::<Vec<_>>();
        values.chunks(columns).flat_map(row).collect()
    };
    let largest = operands.most.map(f32::to_bits);
    let with = |bytes: &[u8]| -> Result<wgpu::Buffer, Error> {
        let buffer = storage(gpu, "a test of matrix units", bytes.len() as u64)?;
        gpu.upload(&buffer, bytes)?;
        Ok(buffer)
    };
    let shape_uniform = uniform(gpu, &product);
    let buffers = [
        with(bytemuck::cast_slice(&padded(&operands.left, ROWS)))?,
        with(bytemuck::cast_slice(&padded(&operands.right, COLUMNS)))?,
        with(&vec![0; 4 * shape.outputs * choice.chunks])?,
        with(bytemuck::bytes_of(&largest))?,
    ];
    let run = || {
        let pipeline = Kind::WeightPartials.pipeline(gpu, choice.form, true);
        let resources: Vec<_> =
            [&shape_uniform].into_iter().chain(&buffers).map(|b| b.as_entire_binding()).collect();
        let bind_group = pipeline.bind(gpu, &resources);
        let mut encoder = gpu.device().create_command_encoder(&Default::default());
        {
            let mut pass = encoder.begin_compute_pass(&Default::default());
            pass.set_pipeline(pipeline.pipeline());
            pass.set_bind_group(0, &bind_group, &[]);
            pass.dispatch_workgroups(groups[0], groups[1], groups[2]);
        }
        gpu.queue().submit([encoder.finish()]);
    };
    if gpu.scoped(wgpu::ErrorFilter::Validation, run).1 {
        return Ok(None);
    }
    let bytes = pollster::block_on(gpu.read_buffer(&buffers[2], 0..buffers[2].size()))?;
    Ok(Some(bytemuck::pod_collect_to_vec(&bytes)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::models::harness::gpu;

    /// To what is left of a sum of f32: of operands rounded to the nearest f16, in range.
    #[test]
    fn the_emulation_rounds_operands_to_the_nearest_f16() {
        let operands = Operands::new();
        let rounded = |values: &[f32], most: f32| -> (Vec<f64>, f64) {
            let scale = 2f64.powi(14 - (most.log2().floor() as i32));
            let scaled = values.iter().map(|&x| f64::from(x) * scale);
            let nearest = |x: f64| match x.abs() < 2f64.powi(-14) {
                true => 0.0,
                false => f64::from(half::f16::from_f64(x)),
            };
            (scaled.map(nearest).collect(), scale)
        };
        let [most_left, most_right] = operands.most;
        let (left, a) = rounded(&operands.left, most_left);
        let (right, b) = rounded(&operands.right, most_right);
        for &form in Form::of_unit(Unit::Emulated) {
            let choice = Choice::whole(form, STEPS);
            let found = sums(gpu(), choice, &operands).unwrap().unwrap();
            for (p, q) in (0..ROWS).flat_map(|p| (0..COLUMNS).map(move |q| (p, q))) {
                let terms = (0..STEPS).map(|t| left[t * ROWS + p] * right[t * COLUMNS + q] / a / b);
                let (sum, size) = terms.fold((0.0, 0.0), |(s, n), x| (s + x, n + x.abs()));
                let error = (f64::from(found[p * 4 * quads(COLUMNS) + q]) - sum).abs();
                assert!(error <= 2f64.powi(-20) * size, "{form:?} {p} {q}: {error} of {size}");
            }
        }
    }

    #[test]
    fn the_emulation_passes_and_one_wrong_sum_does_not() {
        assert_eq!(self_test(gpu(), Unit::Emulated).unwrap(), Ok(()));
        let operands = Operands::new();
        let choice = Choice::split(Form::Matrix(Unit::Emulated, 64), STEPS, 2);
        let mut found = sums(gpu(), choice, &operands).unwrap().unwrap();
        let judged = |found: &[f32]| judge(Unit::Emulated, choice, &operands, found);
        assert_eq!(judged(&found), Ok(()));
        // As in f32 they are not, for the operands are rounded.
        assert!(judge(Unit::Full, choice, &operands, &found).is_err());
        // The last element of the last chunk.
        let last = (ROWS + 1 + ROWS - 1) * 4 * quads(COLUMNS) + COLUMNS - 1;
        for wrong in [f32::INFINITY, f32::NAN, found[last] + 1e-4] {
            found[last] = wrong;
            assert!(judged(&found).unwrap_err().contains("fail their test"), "{wrong}");
        }
    }
}
