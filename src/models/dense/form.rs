//! The forms in which products are computed, and how their sums are split.

use crate::device::matrix::Unit;

/// The form in which a product is computed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Form {
    /// `shaders/shared/product_register.wgsl`
    Register,
    /// `shaders/shared/product_sliced.wgsl` with so many blocks along a side: 2, 4 or 8.
    Sliced(usize),
    /// `shaders/shared/product_workgroup.wgsl` with so many invocations along a side: 4, 8
    /// or 16.
    Workgroup(usize),
    /// `shaders/shared/product_matrix.wgsl` with so many rows in a tile: 64 or 128.
    Matrix(Unit, usize),
}

impl Form {
    /// All forms for GPUs.
    pub const FOR_GPUS: [Self; 6] = [
        Form::Sliced(2),
        Form::Sliced(4),
        Form::Sliced(8),
        Form::Workgroup(4),
        Form::Workgroup(8),
        Form::Workgroup(16),
    ];

    /// The forms for a matrix unit. In f32 a larger tile would want more than the 16 KiB of
    /// workgroup memory that WebGPU promises.
    pub fn of_unit(unit: Unit) -> &'static [Self] {
        const HALF: [Form; 2] = [Form::Matrix(Unit::Half, 64), Form::Matrix(Unit::Half, 128)];
        const FULL: [Form; 1] = [Form::Matrix(Unit::Full, 64)];
        const EMULATED: [Form; 2] =
            [Form::Matrix(Unit::Emulated, 64), Form::Matrix(Unit::Emulated, 128)];
        match unit {
            Unit::Half => &HALF,
            Unit::Full => &FULL,
            Unit::Emulated => &EMULATED,
        }
    }

    /// Rows and columns of a tile, and tiles computed by one workgroup.
    pub fn tile(self) -> (usize, usize, usize) {
        match self {
            Form::Register => (32, 16, 8),
            Form::Sliced(side) => (4 * side, 4 * side, 1),
            Form::Workgroup(side) => (8 * side, 8 * side, 1),
            Form::Matrix(_, rows) => (rows, 128, 1),
        }
    }

    /// The value of `SIDE` in the shader.
    pub fn side(self) -> Option<usize> {
        match self {
            Form::Register | Form::Matrix(..) => None,
            Form::Sliced(side) | Form::Workgroup(side) => Some(side),
        }
    }

    /// Steps of t that a workgroup does at a time.
    pub fn depth(self) -> usize {
        match self {
            Form::Register => 1,
            Form::Sliced(side) => 4 * 256 / (side * side),
            Form::Workgroup(side) => 256 / side,
            Form::Matrix(..) => 16,
        }
    }
}

/// A form, and how the sum over t is split over workgroups.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Choice {
    pub form: Form,
    pub chunks: usize,
    pub chunk_steps: usize,
}

impl Choice {
    /// All steps in one.
    pub fn whole(form: Form, steps: usize) -> Self {
        Self { form, chunks: 1, chunk_steps: steps }
    }

    /// About so many chunks of whole depths.
    pub fn split(form: Form, steps: usize, chunks: usize) -> Self {
        let chunk_steps = steps.div_ceil(chunks).next_multiple_of(form.depth());
        Self { form, chunks: steps.div_ceil(chunk_steps), chunk_steps }
    }
}
