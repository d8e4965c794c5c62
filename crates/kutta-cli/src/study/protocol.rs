//! Which runs a study needs next, from those that have ended.
//!
//! Nothing is kept from one sitting to the next but the runs themselves: the same runs
//! always ask for the same ones.

use std::collections::BTreeMap;

use sha2::{Digest, Sha256};

use super::file::Knobs;

/// Numbers of the protocol.
#[derive(Clone, Copy, Debug)]
pub struct Numbers {
    pub seed: u64,
    pub trials: usize,
    pub seeds: usize,
    pub extensions: usize,
}

/// An optimizer as the protocol sees it.
#[derive(Clone, Debug)]
pub struct Searched {
    pub name: String,
    pub ranges: BTreeMap<String, [f64; 2]>,
}

/// A run to make: a final one is tested on the test images.
#[derive(Clone, Debug, PartialEq)]
pub struct Wanted {
    pub optimizer: usize,
    pub knobs: Knobs,
    pub seed: u64,
    pub is_final: bool,
}

/// What selection may know of a trial: nothing of the test images.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    pub accuracy: f64,
    pub loss: f64,
}

/// What has become of one setting.
#[derive(Debug)]
pub struct State {
    pub trials: Vec<Wanted>,
    pub finals: Vec<Wanted>,
    /// The knobs of each optimizer, once they are chosen.
    pub chosen: Vec<Knobs>,
    /// Whose optimum lies on the edge of all that was tried.
    pub on_edge: Vec<Vec<String>>,
    pub rounds: usize,
}

/// How far a range is extended.
const DECADE: f64 = 10.0;

/// Follows the protocol as far as the runs that have ended lead. `is_valid` says whether an
/// optimizer can be built with such knobs.
pub fn follow(
    numbers: Numbers,
    optimizers: &[Searched],
    seen: impl Fn(&Wanted) -> Option<Seen>,
    is_valid: impl Fn(usize, &Knobs) -> bool,
) -> State {
    let mut ranges: Vec<_> = optimizers.iter().map(|one| one.ranges.clone()).collect();
    let mut drawn_from = ranges.clone();
    let mut tried: Vec<Vec<Wanted>> = vec![Vec::new(); optimizers.len()];
    let mut state = State {
        trials: Vec::new(),
        finals: Vec::new(),
        chosen: Vec::new(),
        on_edge: Vec::new(),
        rounds: 0,
    };
    loop {
        for (i, one) in optimizers.iter().enumerate() {
            for trial in 0..numbers.trials {
                let draw = |(knob, &[low, high]): (&String, &[f64; 2])| {
                    let at = uniform(numbers.seed, &one.name, state.rounds, trial, knob);
                    (knob.clone(), rounded(low * (high / low).powf(at)))
                };
                let knobs = drawn_from[i].iter().map(draw).collect();
                let seed = numbers.seed;
                tried[i].push(Wanted { optimizer: i, knobs, seed, is_final: false });
            }
        }
        state.rounds += 1;
        state.trials = tried.concat();
        let best: Option<Vec<&Wanted>> = tried.iter().map(|tried| best(tried, &seen)).collect();
        let Some(best) = best else { return state };
        state.on_edge = best.iter().zip(&tried).map(|(best, tried)| edges(best, tried)).collect();
        state.chosen = best.iter().map(|best| best.knobs.clone()).collect();
        if state.rounds > numbers.extensions || state.on_edge.iter().all(Vec::is_empty) {
            break;
        }
        // Whoever has its optimum on an edge looks beyond it; the others over a range that
        // has grown as much, half on either side.
        let before = ranges.clone();
        let mut grew = false;
        for (i, best) in best.iter().enumerate() {
            for (knob, range) in before[i].clone() {
                let [low, high] = range;
                let side = side(best, &tried[i], &knob);
                let on_edge = side.is_some();
                // Also what was not tried between the best and the end of the range.
                let value = best.knobs[&knob];
                let (wider, draw) = match side {
                    Some(Side::Low) => ([low / DECADE, high], [low / DECADE, value]),
                    Some(Side::High) => ([low, high * DECADE], [value, high * DECADE]),
                    None => {
                        let half = [low / DECADE.sqrt(), high * DECADE.sqrt()];
                        (half, half)
                    }
                };
                let can = wider.iter().all(|&end| {
                    let mut knobs = best.knobs.clone();
                    knobs.insert(knob.clone(), end);
                    is_valid(i, &knobs)
                });
                grew |= can && on_edge;
                ranges[i].insert(knob.clone(), if can { wider } else { range });
                drawn_from[i].insert(knob, if can { draw } else { range });
            }
        }
        if !grew {
            // All edges are those of what can be at all.
            break;
        }
    }
    for (optimizer, knobs) in state.chosen.iter().enumerate() {
        for seed in 1..=numbers.seeds as u64 {
            let seed = numbers.seed.wrapping_add(seed);
            state.finals.push(Wanted { optimizer, knobs: knobs.clone(), seed, is_final: true });
        }
    }
    state
}

/// The highest accuracy, then the lowest loss, then the first; none before all have ended.
fn best(tried: &[Wanted], seen: impl Fn(&Wanted) -> Option<Seen>) -> Option<&Wanted> {
    let mut best: Option<(&Wanted, Seen)> = None;
    for one in tried {
        let new = seen(one)?;
        let better = best.is_none_or(|(_, old)| {
            new.accuracy > old.accuracy || new.accuracy == old.accuracy && new.loss < old.loss
        });
        if better {
            best = Some((one, new));
        }
    }
    best.map(|(one, _)| one)
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum Side {
    Low,
    High,
}

/// The side of the best value of a knob on which nothing was tried.
fn side(best: &Wanted, tried: &[Wanted], knob: &str) -> Option<Side> {
    let value = best.knobs[knob];
    if !tried.iter().any(|one| one.knobs[knob] > value) {
        Some(Side::High)
    } else if !tried.iter().any(|one| one.knobs[knob] < value) {
        Some(Side::Low)
    } else {
        None
    }
}

/// The knobs whose best value lies on the edge of what was tried.
fn edges(best: &Wanted, tried: &[Wanted]) -> Vec<String> {
    best.knobs.keys().filter(|knob| side(best, tried, knob).is_some()).cloned().collect()
}

/// A number of [0, 1) that belongs to one knob of one trial, whatever else is in the file.
fn uniform(seed: u64, name: &str, round: usize, trial: usize, knob: &str) -> f64 {
    let hash = Sha256::digest(format!("{seed}\n{name}\n{round}\n{trial}\n{knob}"));
    let bits = hash.iter().take(8).fold(0u64, |bits, &byte| bits << 8 | u64::from(byte));
    (bits >> 11) as f64 / (1u64 << 53) as f64
}

/// Four digits, as tables show them.
fn rounded(value: f64) -> f64 {
    format!("{value:.3e}").parse().unwrap_or(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NUMBERS: Numbers = Numbers { seed: 1, trials: 8, seeds: 3, extensions: 2 };

    fn two() -> Vec<Searched> {
        let range = BTreeMap::from([("h".to_owned(), [0.01, 1.0])]);
        ["a", "b"].map(|name| Searched { name: name.into(), ranges: range.clone() }).to_vec()
    }

    /// Accuracy falls off with the distance from the optimum, in decades.
    fn hill(optima: [f64; 2]) -> impl Fn(&Wanted) -> Option<Seen> {
        move |one| {
            assert!(!one.is_final, "selection looked at a final run");
            let off = (one.knobs["h"] / optima[one.optimizer]).log10().abs();
            Some(Seen { accuracy: 1.0 - off / 10.0, loss: off })
        }
    }

    #[test]
    fn the_best_trial_is_run_with_fresh_seeds() {
        let state = follow(NUMBERS, &two(), hill([0.1, 0.1]), |_, _| true);
        assert_eq!((state.rounds, state.trials.len(), state.finals.len()), (1, 16, 6));
        for (i, chosen) in state.chosen.iter().enumerate() {
            let off = |h: f64| (h / 0.1).log10().abs();
            let nearest = state.trials.iter().filter(|one| one.optimizer == i);
            let nearest = nearest.map(|one| off(one.knobs["h"])).fold(f64::NAN, f64::min);
            assert_eq!(off(chosen["h"]), nearest);
        }
        assert!(state.trials.iter().all(|one| one.seed == 1 && !one.is_final));
        // The same seeds for both, so that they make pairs; none of them is the trials'.
        let seeds = |i| state.finals.iter().filter(move |one| one.optimizer == i).map(|o| o.seed);
        assert!(seeds(0).eq([2, 3, 4]) && seeds(1).eq([2, 3, 4]));
        assert!(state.trials.iter().all(|one| (0.01..=1.0).contains(&one.knobs["h"])));
    }

    #[test]
    fn an_edge_is_extended_for_everybody() {
        let state = follow(NUMBERS, &two(), hill([0.1, 4.0]), |_, _| true);
        assert_eq!(state.rounds, 2);
        let count = |i| state.trials.iter().filter(|one| one.optimizer == i).count();
        assert_eq!((count(0), count(1)), (16, 16));
        let beyond = |i, h: f64| {
            state.trials.iter().filter(|o| o.optimizer == i && o.knobs["h"] > h).count()
        };
        assert!(beyond(1, 1.0) >= 4, "{} beyond", beyond(1, 1.0));
        assert!(beyond(0, 10f64.sqrt()) == 0 && state.chosen[1]["h"] > 1.0);
        assert!(state.on_edge.iter().all(Vec::is_empty));
        // An end to it; the table then says that it is an edge.
        let state = follow(NUMBERS, &two(), hill([0.1, 1e9]), |_, _| true);
        assert_eq!((state.rounds, &state.on_edge[1][..]), (3, &["h".to_owned()][..]));
        // What cannot be is not tried.
        let state = follow(NUMBERS, &two(), hill([0.1, 4.0]), |_, knobs| knobs["h"] <= 1.0);
        assert_eq!((state.rounds, state.finals.len()), (1, 6));
    }

    #[test]
    fn nothing_is_chosen_before_all_trials_have_ended() {
        let seen = |one: &Wanted| (one.optimizer == 0).then_some(Seen { accuracy: 0.5, loss: 1.0 });
        let state = follow(NUMBERS, &two(), seen, |_, _| true);
        assert!(state.finals.is_empty() && state.chosen.is_empty());
        assert_eq!(state.trials.len(), 16);
    }

    #[test]
    fn trials_are_log_uniform_and_belong_to_their_optimizer() {
        let many = Numbers { trials: 2000, ..NUMBERS };
        let trials = follow(many, &two(), |_| None, |_, _| true).trials;
        let below = trials.iter().filter(|one| one.knobs["h"] < 0.1).count();
        assert!((1900..2100).contains(&below), "{below} of 4000 in the lower decade");
        let one = follow(many, &two()[1..], |_| None, |_, _| true).trials;
        assert!(one.iter().zip(&trials[2000..]).all(|(a, b)| a.knobs == b.knobs));
    }
}
