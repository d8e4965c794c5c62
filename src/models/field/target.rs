//! The target of a field: the values of an image or a volume.

use crate::data::DataError;

/// Values at the centres of the texels of an image or a volume, x running fastest and the
/// channels of a texel side by side.
///
/// ```
/// use kutta::models::Target;
/// let image = Target::image([2, 1], 3, vec![0.0, 0.5, 1.0, 1.0, 0.5, 0.0])?;
/// assert_eq!((image.dimensions(), image.texels()), (2, 2));
/// # Ok::<(), kutta::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Target {
    extent: Vec<usize>,
    channels: usize,
    values: Vec<f32>,
}

impl Target {
    /// Most texels: the device counts values in `u32`.
    pub const MOST: usize = 1 << 28;

    /// An image of width × height.
    ///
    /// # Errors
    /// An extent of zero or more than 2²⁸ texels; channels that are not 1 to 4; another
    /// number of values than both come to; values that are not finite.
    pub fn image(extent: [usize; 2], channels: usize, values: Vec<f32>) -> Result<Self, DataError> {
        Self::new(&extent, channels, values)
    }

    /// A volume of width × height × depth.
    ///
    /// # Errors
    /// As [`Target::image`].
    pub fn volume(
        extent: [usize; 3],
        channels: usize,
        values: Vec<f32>,
    ) -> Result<Self, DataError> {
        Self::new(&extent, channels, values)
    }

    fn new(extent: &[usize], channels: usize, values: Vec<f32>) -> Result<Self, DataError> {
        let texels = texels(extent)?;
        if !(1..=4).contains(&channels) {
            return Err(DataError::Channels { channels });
        }
        if values.len() != texels * channels {
            let (expected, found) = (texels * channels, values.len());
            let extent = extent.into();
            return Err(DataError::TexelCount { extent, channels, expected, found });
        }
        if let Some(i) = values.iter().position(|x| !x.is_finite()) {
            return Err(DataError::NotFinite {
                what: "texel",
                sample: i / channels,
                element: i % channels,
                value: values[i],
            });
        }
        Ok(Self { extent: extent.into(), channels, values })
    }

    /// Texels along each axis.
    pub fn extent(&self) -> &[usize] {
        &self.extent
    }

    /// 2 or 3.
    pub fn dimensions(&self) -> usize {
        self.extent.len()
    }

    /// Values of a texel.
    pub fn channels(&self) -> usize {
        self.channels
    }

    /// Texels in all.
    pub fn texels(&self) -> usize {
        self.extent.iter().product()
    }

    pub fn values(&self) -> &[f32] {
        &self.values
    }
}

/// Counts the texels of an extent.
pub(super) fn texels(extent: &[usize]) -> Result<usize, DataError> {
    let product = extent.iter().try_fold(1usize, |a, &b| a.checked_mul(b));
    product
        .filter(|&n| (1..=Target::MOST).contains(&n))
        .ok_or_else(|| DataError::Extent { extent: extent.into(), most: Target::MOST })
}
