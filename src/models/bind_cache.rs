//! Bind groups made once for each set of buffers that an optimizer evaluates at.

use crate::source::EvaluationKey;

/// A cache that keeps what was used latest.
#[derive(Debug)]
pub(crate) struct Recent<K, T> {
    most: usize,
    uses: u64,
    entries: Vec<Entry<K, T>>,
}

#[derive(Debug)]
struct Entry<K, T> {
    key: K,
    value: T,
    used: u64,
}

impl<K: PartialEq, T> Recent<K, T> {
    /// Keeps at most so many entries.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, uses: 0, entries: Vec::new() }
    }

    /// The entry of this key, made if it is not there; the least recently used goes for it.
    pub(crate) fn get(&mut self, key: K, make: impl FnOnce() -> T) -> &mut T {
        self.uses += 1;
        let used = self.uses;
        let at = match self.entries.iter().position(|entry| entry.key == key) {
            Some(at) => at,
            None => {
                if self.entries.len() >= self.most {
                    let oldest = (0..self.entries.len()).min_by_key(|&i| self.entries[i].used);
                    self.entries.swap_remove(oldest.unwrap_or(0));
                }
                self.entries.push(Entry { key, value: make(), used });
                self.entries.len() - 1
            }
        };
        let entry = &mut self.entries[at];
        entry.used = used;
        &mut entry.value
    }
}

/// Optimizers and wrappers, by their control blocks, whose bind groups are kept.
pub(crate) const MOST_CONTROLS: usize = 8;

/// Keys of one of them. A method has as many as it has pairs of a point and its gradient.
const MOST_KEYS: usize = 64;

/// A cache of what a source made for the buffers of one [`EvaluationKey`]. It holds no more
/// than a few optimizers and wrappers, for bind groups keep their buffers.
#[derive(Debug)]
pub(crate) struct BindCache<T> {
    controls: Recent<(u64, wgpu::Buffer), Recent<EvaluationKey, T>>,
}

impl<T> Default for BindCache<T> {
    fn default() -> Self {
        Self { controls: Recent::new(MOST_CONTROLS) }
    }
}

impl<T> BindCache<T> {
    /// The entry of this key, made if it is not there.
    pub(crate) fn get(&mut self, key: EvaluationKey, make: impl FnOnce() -> T) -> &T {
        let of = (key.optimizer, key.control.clone());
        self.controls.get(of, || Recent::new(MOST_KEYS)).get(key, make)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_least_recently_used_goes() {
        let mut recent = Recent::new(3);
        for key in [1, 2, 3, 1, 4] {
            assert_eq!(*recent.get(key, || 10 * key), 10 * key);
        }
        // 2 went for 4.
        for key in [1, 3, 4] {
            recent.get(key, || panic!("{key} was made twice"));
        }
        let mut again = false;
        recent.get(2, || {
            again = true;
            20
        });
        assert!(again, "2 should have left");
        recent.get(1, || 11);
        assert_eq!(recent.entries.len(), 3);
    }

    #[test]
    fn what_comes_and_goes_for_ever_leaves_a_bounded_cache() {
        let mut recent = Recent::new(8);
        for key in 0..10_000 {
            recent.get(key / 3, || key);
            assert!(recent.entries.len() <= 8 && recent.entries.capacity() <= 16);
        }
    }
}
