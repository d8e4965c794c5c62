//! A source with as many batches to a step as was asked for.

use std::ops::Range;

use kutta::batching::{Accumulated, PerStage};
use kutta::{
    BatchesFrom, Draws, Error, Evaluation, Gpu, GradientSource, ParamLayout, SourceError, Storage,
};

use super::recipe::Recipe;

pub enum Wrapped<S> {
    OneBatch(S),
    PerStage(PerStage<S>),
    Accumulated(Accumulated<S>),
    Both(PerStage<Accumulated<S>>),
}

impl<S: GradientSource> Wrapped<S> {
    /// # Errors
    /// A device too small.
    pub fn new(gpu: &Gpu, source: S, recipe: &Recipe, layout: &ParamLayout) -> Result<Self, Error> {
        let parts = recipe.accumulate;
        Ok(match (recipe.batch_per_stage, parts > 1) {
            (false, false) => Self::OneBatch(source),
            (true, false) => Self::PerStage(PerStage::new(gpu, source)?),
            (false, true) => Self::Accumulated(Accumulated::new(gpu, source, layout, parts)?),
            (true, true) => {
                let accumulated = Accumulated::new(gpu, source, layout, parts)?;
                Self::Both(PerStage::new(gpu, accumulated)?)
            }
        })
    }

    /// The source by itself.
    pub fn plain(&mut self) -> &mut S {
        match self {
            Self::OneBatch(source) => source,
            Self::PerStage(source) => source.inner_mut(),
            Self::Accumulated(source) => source.inner_mut(),
            Self::Both(source) => source.inner_mut().inner_mut(),
        }
    }

    fn whole(&self) -> &dyn GradientSource {
        match self {
            Self::OneBatch(source) => source,
            Self::PerStage(source) => source,
            Self::Accumulated(source) => source,
            Self::Both(source) => source,
        }
    }
}

impl<S: GradientSource> GradientSource for Wrapped<S> {
    fn evaluate(&mut self, at: &mut Evaluation<'_>) -> Result<(), SourceError> {
        match self {
            Self::OneBatch(source) => source.evaluate(at),
            Self::PerStage(source) => source.evaluate(at),
            Self::Accumulated(source) => source.evaluate(at),
            Self::Both(source) => source.evaluate(at),
        }
    }

    fn batches(&self) -> BatchesFrom {
        self.whole().batches()
    }

    fn drawn(&self, attempt: Draws) -> Range<u64> {
        self.whole().drawn(attempt)
    }

    fn gradients(&self, evaluations: u64) -> u64 {
        self.whole().gradients(evaluations)
    }

    fn products(&self) -> bool {
        self.whole().products()
    }

    fn adds(&self) -> bool {
        self.whole().adds()
    }

    fn writes(&self, storage: Storage) -> bool {
        self.whole().writes(storage)
    }

    fn checks(&self) -> u32 {
        self.whole().checks()
    }

    fn gpu(&self) -> Option<&Gpu> {
        self.whole().gpu()
    }

    fn layout(&self) -> Option<&ParamLayout> {
        self.whole().layout()
    }

    fn keeps_padding(&self) -> bool {
        self.whole().keeps_padding()
    }

    fn submits(&self) -> bool {
        self.whole().submits()
    }
}
