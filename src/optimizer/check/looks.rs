//! Whether a source that checks what it writes does so.

use super::ask::Ask;
use super::{Check, FILL, SourceFault, norm};
use crate::error::Error;
use crate::format::Storage;
use crate::plan;
use crate::source::GradientSource;

/// Rounding of a norm, as a part of it.
const ROUNDING: f64 = 1e-5;

/// What a source leaves of a gradient, and what there is to find in it.
struct Looked {
    norm: f64,
    place: Option<usize>,
    gradient: Vec<f32>,
}

impl Looked {
    /// The first vec4 of the gradient that is not finite.
    fn first(&self) -> Option<usize> {
        self.gradient.iter().position(|k| !k.is_finite()).map(|i| i / 4)
    }
}

impl<S: GradientSource> Check<'_, S> {
    pub(super) async fn looks(&mut self) -> Result<(), Error> {
        if self.source.checks() == 0 {
            self.skip("checks", "the source does not (`GradientSource::checks`)");
            return Ok(());
        }
        let mut faults = Vec::new();
        let theta = self.theta;
        let plain = self.looked(theta, true, false).await?;
        faults.extend(self.wrong_norm(&plain, ""));
        if self.source.adds() {
            let sum = self.looked(theta, true, true).await?;
            faults.extend(self.wrong_norm(&sum, ", added to what was there"));
        }
        let unasked = self.looked(theta, false, false).await?;
        if !unasked.norm.is_nan() {
            let message = "it leaves partial sums where `Check::norm` does not ask for them: they \
                           are of another gradient";
            faults.push(SourceFault { tensor: None, message: message.into() });
        }
        // What is not finite in θ is not in the gradient, somewhere.
        let places: Vec<usize> = self
            .layout
            .tensors()
            .iter()
            .flat_map(|t| [t.range().start, t.range().end - 1])
            .collect();
        let before = faults.len();
        for at in places {
            let mut poisoned = theta.to_vec();
            poisoned[at] = f32::NAN;
            let looked = self.looked(&poisoned, true, false).await?;
            if faults.len() == before {
                faults.extend(self.wrong_place(&looked));
            }
        }
        self.report("checks", faults);
        Ok(())
    }

    async fn looked(&mut self, theta: &[f32], norm: bool, adds: bool) -> Result<Looked, Error> {
        let check = Some(plan::Check { norm, squares: false });
        let ask = Ask { theta, adds, check, ..self.first(0, FILL) };
        let answer = self.evaluate(0, &ask).await?;
        let (place, roots) = self.buffers[0].found(self.gpu, self.waiting).await?;
        let squares: f64 = roots.iter().map(|&root| f64::from(root).powi(2)).sum();
        // Of the tensors alone, for what lies between them the source may not care.
        let mut gradient = vec![0.0; self.layout.len()];
        for tensor in self.layout.tensors() {
            gradient[tensor.range()].copy_from_slice(&answer.gradient[tensor.range()]);
        }
        Ok(Looked { norm: squares.sqrt(), place, gradient })
    }

    fn wrong_norm(&self, looked: &Looked, what: &str) -> Option<SourceFault> {
        let expected = norm(&looked.gradient);
        if (looked.norm - expected).abs() <= ROUNDING * expected {
            return None;
        }
        // One tensor may be all that is missing.
        let missing = self.layout.tensors().iter().find(|tensor| {
            let own = norm(&looked.gradient[tensor.range()]);
            let rest = (expected.powi(2) - own.powi(2)).max(0.0).sqrt();
            own > 0.0 && (looked.norm - rest).abs() <= ROUNDING * expected
        });
        let message = match missing {
            Some(_) => format!(
                "its partial sums are of a gradient of norm {:.6e}{what}, which is {expected:.6e}: \
                 this tensor is not in them; `look` at every element, and `leave` once a \
                 workgroup in a slot of its own",
                looked.norm
            ),
            None => format!(
                "its partial sums are of a gradient of norm {:.6e}{what}, which is {expected:.6e}; \
                 `look` at every element as it is stored, and `leave` once a workgroup in a slot \
                 of its own (NaN: a slot of `GradientSource::checks` that nobody wrote)",
                looked.norm
            ),
        };
        Some(SourceFault { tensor: missing.map(|tensor| tensor.name().into()), message })
    }

    fn wrong_place(&self, looked: &Looked) -> Option<SourceFault> {
        let first = looked.first();
        if looked.place == first {
            return None;
        }
        let name = |quad: Option<usize>| {
            let of =
                quad.and_then(|quad| (4 * quad..4 * quad + 4).find_map(|i| self.layout.locate(i)));
            of.map(|tensor| tensor.name().to_owned())
        };
        let say = |quad: Option<usize>| match quad {
            Some(quad) => format!("in elements {} to {}", 4 * quad, 4 * quad + 3),
            None => "nowhere".to_owned(),
        };
        let message = format!(
            "at a θ with a NaN its gradient is not finite first {} of the vector, and it says {}; \
             `look` takes elements 4i to 4i + 3 of the whole gradient as they are stored, and i",
            say(first),
            say(looked.place)
        );
        Some(SourceFault { tensor: name(first.or(looked.place)), message })
    }

    /// The same of a narrow gradient, whose buffers are in place.
    pub(super) async fn looks_narrow(
        &mut self,
        storage: Storage,
    ) -> Result<Option<SourceFault>, Error> {
        if self.source.checks() == 0 {
            return Ok(None);
        }
        let theta = self.theta;
        let looked = self.looked(theta, true, false).await?;
        Ok(self.wrong_norm(&looked, &format!(", as {storage}")))
    }
}
