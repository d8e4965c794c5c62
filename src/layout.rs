//! Named tensors inside one flat parameter vector.
//!
//! Tensors start at multiples of [`ALIGNMENT`] elements: WebGPU binds storage
//! buffers at 256-byte offsets, so every tensor can be bound on its own. The
//! gaps are padding: zero at the start, and nothing ever writes them.

use std::collections::HashSet;
use std::ops::Range;

use thiserror::Error;

/// Elements between possible tensor starts: 64 f32 = 256 bytes.
pub const ALIGNMENT: usize = 64;

/// Initial values of a tensor.
#[derive(Clone, Copy, Debug, PartialEq)]
#[cfg_attr(
    feature = "checkpoint",
    derive(serde::Serialize, serde::Deserialize),
    serde(rename_all = "kebab-case", deny_unknown_fields)
)]
pub enum Init {
    Zeros,
    Constant(f32),
    /// Uniform in ±bound.
    Uniform {
        bound: f32,
    },
    /// He et al. 2015, uniform form: ±√(6 / fan_in). For ReLU layers.
    He {
        fan_in: usize,
    },
    /// Glorot, Bengio 2010, uniform form: ±√(6 / (fan_in + fan_out)).
    Glorot {
        fan_in: usize,
        fan_out: usize,
    },
}

impl Init {
    // Uniform laws only: they need no transcendental function, so the same
    // seed gives the same bits on every platform.
    fn bound(self) -> Option<f64> {
        match self {
            Init::Zeros | Init::Constant(_) => None,
            Init::Uniform { bound } => Some(f64::from(bound)),
            Init::He { fan_in } => Some((6.0 / fan_in as f64).sqrt()),
            Init::Glorot { fan_in, fan_out } => Some((6.0 / (fan_in + fan_out) as f64).sqrt()),
        }
    }
}

/// One named tensor of a [`ParamLayout`].
#[derive(Clone, Debug, PartialEq)]
pub struct Tensor {
    name: String,
    shape: Vec<usize>,
    init: Init,
    offset: usize,
    group: u32,
}

impl Tensor {
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Row-major extents.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    pub fn init(&self) -> Init {
        self.init
    }

    /// The parameter group of this tensor.
    pub fn group(&self) -> u32 {
        self.group
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.shape.iter().product()
    }

    /// Never true: `build` refuses empty tensors.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The tensor's range in the flat vector, in elements.
    pub fn range(&self) -> Range<usize> {
        self.offset..self.offset + self.len()
    }
}

/// A layout places named tensors in one flat vector.
///
/// ```
/// use kutta::{Init, ParamLayout};
/// let layout = ParamLayout::builder()
///     .tensor("weight", &[3, 5], Init::He { fan_in: 3 })
///     .tensor("bias", &[5], Init::Zeros)
///     .build()?;
/// assert_eq!(layout.range("bias")?, 64..69);
/// assert_eq!(layout.len(), 69); // 49 elements of padding between the two
/// assert_eq!(layout.parameters(), 20);
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct ParamLayout {
    tensors: Vec<Tensor>,
}

impl ParamLayout {
    pub fn builder() -> ParamLayoutBuilder {
        ParamLayoutBuilder { tensors: Vec::new() }
    }

    /// One tensor `theta` of n elements, initially zero.
    ///
    /// # Errors
    /// If n is zero.
    pub fn flat(n: usize) -> Result<Self, LayoutError> {
        Self::builder().tensor("theta", &[n], Init::Zeros).build()
    }

    /// Length of the flat vector in elements, padding between tensors
    /// included: the length of what `read` returns.
    pub fn len(&self) -> usize {
        self.tensors.last().map_or(0, |t| t.range().end)
    }

    /// Never true: `build` refuses an empty layout.
    pub fn is_empty(&self) -> bool {
        self.tensors.is_empty()
    }

    /// Number of parameters, padding left out.
    pub fn parameters(&self) -> usize {
        self.tensors.iter().map(Tensor::len).sum()
    }

    /// The tensors, in order of their place.
    pub fn tensors(&self) -> &[Tensor] {
        &self.tensors
    }

    /// The tensor of that name.
    ///
    /// # Errors
    /// [`LayoutError::UnknownTensor`], which lists the names there are.
    pub fn tensor(&self, name: &str) -> Result<&Tensor, LayoutError> {
        self.tensors.iter().find(|t| t.name == name).ok_or_else(|| LayoutError::UnknownTensor {
            name: name.into(),
            known: self.tensors.iter().map(|t| t.name.as_str()).collect::<Vec<_>>().join(", "),
        })
    }

    /// Name to range, in elements of the flat vector.
    ///
    /// # Errors
    /// As [`ParamLayout::tensor`].
    pub fn range(&self, name: &str) -> Result<Range<usize>, LayoutError> {
        Ok(self.tensor(name)?.range())
    }

    /// Index to tensor; `None` for padding and beyond the end.
    pub fn locate(&self, index: usize) -> Option<&Tensor> {
        let after = self.tensors.partition_point(|t| t.offset <= index);
        self.tensors[..after].last().filter(|t| t.range().contains(&index))
    }

    /// The part of `flat` that holds the named tensor.
    ///
    /// # Errors
    /// An unknown name, or a slice that is not [`len`](Self::len) long.
    pub fn view<'v>(&self, name: &str, flat: &'v [f32]) -> Result<&'v [f32], LayoutError> {
        self.check_len(flat.len())?;
        Ok(&flat[self.range(name)?])
    }

    pub(crate) fn check_len(&self, found: usize) -> Result<(), LayoutError> {
        if found == self.len() {
            Ok(())
        } else {
            Err(LayoutError::Length { expected: self.len(), found })
        }
    }

    /// The first tensor by name, shape or place that `other` does not have alike; groups
    /// and initial values are nobody's but the optimizer's. `None` where there is none.
    pub(crate) fn difference(&self, other: &Self, [here, there]: [&str; 2]) -> Option<String> {
        let says = |tensor: &Tensor| {
            let (shape, at) = (&tensor.shape, tensor.offset);
            format!("`{}` of shape {shape:?} at element {at}", tensor.name)
        };
        let alike =
            |a: &Tensor, b: &Tensor| (&a.name, &a.shape, a.offset) == (&b.name, &b.shape, b.offset);
        for index in 0..self.tensors.len().max(other.tensors.len()) {
            let pair = (self.tensors.get(index), other.tensors.get(index));
            let [a, b] = match pair {
                (Some(a), Some(b)) if alike(a, b) => continue,
                (a, b) => [a, b].map(|tensor| tensor.map_or("nothing".into(), says)),
            };
            return Some(format!("tensor {index} (counted from 0) is {a} {here} and {b} {there}"));
        }
        None
    }

    /// Puts the same tensors into other parameter groups: `groups[g]` names those of
    /// group g.
    ///
    /// ```
    /// use kutta::{Init, ParamLayout};
    /// let layout = ParamLayout::builder()
    ///     .tensor("weight", &[3, 5], Init::Zeros)
    ///     .tensor("bias", &[5], Init::Zeros)
    ///     .build()?
    ///     .regrouped(&[&["weight"], &["bias"]])?;
    /// assert_eq!(layout.tensor("bias")?.group(), 1);
    /// assert!(layout.regrouped(&[&["weight"]]).is_err());
    /// # Ok::<(), kutta::Error>(())
    /// ```
    ///
    /// # Errors
    /// A name that is unknown, and a tensor in no group or in several.
    pub fn regrouped(mut self, groups: &[&[&str]]) -> Result<Self, LayoutError> {
        for name in groups.iter().copied().flatten() {
            self.tensor(name)?;
        }
        for tensor in &mut self.tensors {
            let holds = |group: &&[&str]| group.contains(&tensor.name.as_str());
            let found = groups
                .iter()
                .flat_map(|group| group.iter())
                .filter(|name| **name == tensor.name)
                .count();
            match groups.iter().position(holds) {
                Some(group) if found == 1 => tensor.group = group as u32,
                _ => return Err(LayoutError::Regrouped { name: tensor.name.clone(), found }),
            }
        }
        Ok(self)
    }

    /// The padding between tensors, in elements.
    pub(crate) fn gaps(&self) -> Vec<Range<usize>> {
        let pairs = self.tensors.windows(2);
        let gaps = pairs.map(|pair| pair[0].range().end..pair[1].offset);
        gaps.filter(|gap| !gap.is_empty()).collect()
    }

    /// The parameter group of each block of [`ALIGNMENT`] elements.
    pub fn block_groups(&self) -> Vec<u32> {
        let mut groups = vec![0; self.len().div_ceil(ALIGNMENT)];
        for tensor in &self.tensors {
            let blocks = tensor.offset / ALIGNMENT..tensor.range().end.div_ceil(ALIGNMENT);
            groups[blocks].fill(tensor.group);
        }
        groups
    }

    /// Initial values for every tensor; equal seeds give equal bits on every
    /// platform.
    pub fn initial(&self, seed: u64) -> Vec<f32> {
        let mut flat = vec![0.0; self.len()];
        let mut random = SplitMix64(seed);
        for tensor in &self.tensors {
            let values = &mut flat[tensor.range()];
            match (tensor.init, tensor.init.bound()) {
                (Init::Constant(value), _) => values.fill(value),
                (_, Some(bound)) => {
                    values.fill_with(|| ((2.0 * random.unit() - 1.0) * bound) as f32)
                }
                (_, None) => {}
            }
        }
        flat
    }
}

/// Collects tensors for [`ParamLayout::builder`].
#[derive(Clone, Debug)]
pub struct ParamLayoutBuilder {
    tensors: Vec<Tensor>,
}

impl ParamLayoutBuilder {
    /// Appends a tensor, in parameter group 0.
    pub fn tensor(self, name: impl Into<String>, shape: &[usize], init: Init) -> Self {
        self.tensor_in_group(0, name, shape, init)
    }

    /// Appends a tensor to a parameter group.
    pub fn tensor_in_group(
        mut self,
        group: u32,
        name: impl Into<String>,
        shape: &[usize],
        init: Init,
    ) -> Self {
        self.tensors.push(Tensor {
            name: name.into(),
            shape: shape.into(),
            init,
            offset: 0,
            group,
        });
        self
    }

    /// Places the tensors.
    ///
    /// # Errors
    /// No tensors, an empty tensor, a name given twice, a shape whose product
    /// overflows, or initial values that are not finite.
    pub fn build(mut self) -> Result<ParamLayout, LayoutError> {
        if self.tensors.is_empty() {
            return Err(LayoutError::Empty);
        }
        let mut end = 0usize;
        let mut names = HashSet::new();
        for tensor in &mut self.tensors {
            if !names.insert(tensor.name.clone()) {
                return Err(LayoutError::DuplicateTensor { name: tensor.name.clone() });
            }
            let overflow = || LayoutError::TooLarge { name: tensor.name.clone() };
            let len = tensor
                .shape
                .iter()
                .try_fold(1usize, |a, &b| a.checked_mul(b))
                .ok_or_else(overflow)?;
            if len == 0 {
                return Err(LayoutError::EmptyTensor {
                    name: tensor.name.clone(),
                    shape: tensor.shape.clone(),
                });
            }
            let finite = match (tensor.init, tensor.init.bound()) {
                (Init::Constant(value), _) => value.is_finite(),
                (_, Some(bound)) => bound.is_finite(),
                (_, None) => true,
            };
            if !finite {
                return Err(LayoutError::Init { name: tensor.name.clone(), init: tensor.init });
            }
            let offset = end.checked_next_multiple_of(ALIGNMENT).ok_or_else(overflow)?;
            end = offset.checked_add(len).ok_or_else(overflow)?;
            tensor.offset = offset;
        }
        Ok(ParamLayout { tensors: self.tensors })
    }
}

/// Steele, Lea, Flood 2014: the generator that seeds others; enough for
/// initial values, and five lines that never change under us.
struct SplitMix64(u64);

impl SplitMix64 {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// Uniform in [0, 1), 53 bits.
    fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }
}

/// Faults of a [`ParamLayout`].
#[derive(Clone, Debug, PartialEq, Error)]
#[non_exhaustive]
pub enum LayoutError {
    #[error(
        "tensor `{name}` is in {found} of the given parameter groups; it must be in exactly one"
    )]
    Regrouped { name: String, found: usize },
    #[error("a parameter layout needs a parameter; this one has no tensors")]
    Empty,
    #[error("tensor `{name}` of shape {shape:?} has no elements")]
    EmptyTensor { name: String, shape: Vec<usize> },
    #[error("tensor `{name}` is there twice; give each its own name")]
    DuplicateTensor { name: String },
    #[error("the elements of tensor `{name}` overflow the address space")]
    TooLarge { name: String },
    #[error("tensor `{name}` has initial values that are not finite: {init:?}")]
    Init { name: String, init: Init },
    #[error("no tensor `{name}`; there are: {known}")]
    UnknownTensor { name: String, known: String },
    #[error("{found} values for a layout of {expected} (padding between tensors included)")]
    Length { expected: usize, found: usize },
}

#[cfg(test)]
mod tests {
    use super::*;

    fn two() -> ParamLayout {
        ParamLayout::builder()
            .tensor("w", &[10, 7], Init::He { fan_in: 10 })
            .tensor_in_group(3, "b", &[7], Init::Constant(0.5))
            .build()
            .unwrap()
    }

    #[test]
    fn tensors_start_at_binding_offsets() {
        let layout = two();
        assert_eq!(layout.range("w").unwrap(), 0..70);
        assert_eq!(layout.range("b").unwrap(), 128..135);
        assert_eq!(layout.parameters(), 77);
        assert_eq!(layout.block_groups(), [0, 0, 3]);
    }

    #[test]
    fn index_and_name_are_inverse() {
        let layout = two();
        for index in 0..layout.len() + 10 {
            let by_name =
                ["w", "b"].into_iter().find(|n| layout.range(n).unwrap().contains(&index));
            assert_eq!(layout.locate(index).map(Tensor::name), by_name, "index {index}");
        }
    }

    #[test]
    fn initial_values_repeat_and_stay_in_bounds() {
        let layout = two();
        let flat = layout.initial(7);
        assert_eq!(flat, layout.initial(7));
        assert_ne!(flat, layout.initial(8));
        let bound = 0.6f32.sqrt();
        let w = layout.view("w", &flat).unwrap();
        assert!(w.iter().all(|x| x.abs() <= bound));
        let variance = w.iter().map(|x| x * x).sum::<f32>() / 70.0;
        assert!((variance - 0.2).abs() < 0.08, "variance {variance}, expected 2/fan_in = 0.2");
        assert!(flat[70..128].iter().all(|&x| x == 0.0));
        assert!(layout.view("b", &flat).unwrap().iter().all(|&x| x == 0.5));
    }

    #[test]
    fn the_first_difference_is_named() {
        let names = ["here", "there"];
        assert_eq!(two().difference(&two(), names), None);
        // Groups and initial values have no say in where things lie.
        let regrouped = ParamLayout::builder()
            .tensor_in_group(9, "w", &[10, 7], Init::Zeros)
            .tensor("b", &[7], Init::Zeros)
            .build()
            .unwrap();
        assert_eq!(two().difference(&regrouped, names), None);
        let of = |tensors: &[(&str, &[usize])]| {
            let mut builder = ParamLayout::builder();
            for (name, shape) in tensors {
                builder = builder.tensor(*name, shape, Init::Zeros);
            }
            builder.build().unwrap()
        };
        for (other, words) in [
            (
                of(&[("w", &[7, 10]), ("b", &[7])]),
                "tensor 0 (counted from 0) is `w` of shape [10, 7] at element 0 here and `w` of shape [7, 10]",
            ),
            (
                of(&[("w", &[10, 7]), ("c", &[7])]),
                "`b` of shape [7] at element 128 here and `c` of shape [7] at element 128 there",
            ),
            (of(&[("w", &[10, 7])]), "`b` of shape [7] at element 128 here and nothing there"),
            (
                of(&[("w", &[10, 7]), ("b", &[7]), ("c", &[1])]),
                "nothing here and `c` of shape [1] at element 192 there",
            ),
        ] {
            let found = two().difference(&other, names).unwrap();
            assert!(found.contains(words), "{found:?} lacks {words:?}");
        }
    }

    #[test]
    fn faults_are_named() {
        let faults = [
            (ParamLayout::builder(), "no tensors"),
            (ParamLayout::builder().tensor("a", &[0, 3], Init::Zeros), "[0, 3]"),
            (
                ParamLayout::builder().tensor("a", &[1], Init::Zeros).tensor(
                    "a",
                    &[1],
                    Init::Zeros,
                ),
                "twice",
            ),
            (ParamLayout::builder().tensor("a", &[usize::MAX, 2], Init::Zeros), "overflow"),
            (ParamLayout::builder().tensor("a", &[2], Init::Constant(f32::NAN)), "NaN"),
            (ParamLayout::builder().tensor("a", &[2], Init::He { fan_in: 0 }), "fan_in: 0"),
        ];
        for (builder, words) in faults {
            let message = builder.build().unwrap_err().to_string();
            assert!(message.contains(words), "{message:?} lacks {words:?}");
        }
        assert!(two().tensor("v").unwrap_err().to_string().contains("w, b"));
        assert!(two().view("w", &[0.0]).is_err());
    }
}
