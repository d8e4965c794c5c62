//! Bind groups made once for each pair of buffers an optimizer evaluates at.

use std::collections::BTreeMap;

use crate::source::EvaluationKey;

/// Optimizers whose bind groups are kept; the least recently made go first.
const MOST_OPTIMIZERS: usize = 8;

/// What a source made for the buffers of one [`EvaluationKey`].
#[derive(Debug)]
pub(crate) struct BindCache<T> {
    entries: BTreeMap<EvaluationKey, T>,
}

impl<T> Default for BindCache<T> {
    fn default() -> Self {
        Self { entries: BTreeMap::new() }
    }
}

impl<T> BindCache<T> {
    /// The entry of this key, made if it is not there.
    pub(crate) fn get(&mut self, key: EvaluationKey, make: impl FnOnce() -> T) -> &T {
        if !self.entries.contains_key(&key) {
            let mut ids: Vec<u64> = self.entries.keys().map(|k| k.optimizer).collect();
            ids.dedup();
            if ids.len() >= MOST_OPTIMIZERS && !ids.contains(&key.optimizer) {
                // Ids grow: the first belongs to the oldest optimizer.
                self.entries.retain(|k, _| k.optimizer != ids[0]);
            }
        }
        self.entries.entry(key).or_insert_with(make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn entries_are_made_once_and_old_optimizers_leave() {
        let mut cache = BindCache::default();
        let key = |optimizer, point| EvaluationKey {
            optimizer,
            point,
            gradient: 1,
            direction: None,
            loss: 0,
            adds: false,
        };
        for optimizer in 0..20 {
            for stage in 1..=4 {
                assert_eq!(
                    *cache.get(key(optimizer, stage), || (optimizer, stage)),
                    (optimizer, stage)
                );
                cache.get(key(optimizer, stage), || panic!("made twice"));
            }
        }
        assert_eq!(cache.entries.len(), 4 * MOST_OPTIMIZERS);
        let mut again = false;
        cache.get(key(0, 1), || {
            again = true;
            (0, 1)
        });
        assert!(again, "optimizer 0 should have left");
    }
}
