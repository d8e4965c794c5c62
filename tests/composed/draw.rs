//! Cases that together hold every pair of levels that the public interface allows, drawn
//! from a seed.

use std::collections::HashSet;

use crate::recipe::{Case, FACTORS};

/// Numbers by a seed: xorshift64*.
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        let mut random = Self(seed.wrapping_mul(0x9e3779b97f4a7c15) ^ 0x2545f4914f6cdd1d);
        random.next();
        random
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545f4914f6cdd1d)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() >> 33) as usize % n
    }
}

/// Two factors and a level of each.
type Pair = [(usize, u8); 2];

/// How often a case is drawn around a pair before the pair is taken for impossible.
const TRIES: usize = 4000;
/// Of so many legal ones that which holds most new pairs is taken.
const CHOICE: usize = 24;

fn pairs(case: &Case) -> impl Iterator<Item = Pair> + '_ {
    let has = |i: usize| case.has(FACTORS[i].0);
    let level = |i: usize| (i, case.levels[i]);
    (0..FACTORS.len()).filter(move |i| has(*i)).flat_map(move |i| {
        (i + 1..FACTORS.len()).filter(move |j| has(*j)).map(move |j| [level(i), level(j)])
    })
}

fn any(random: &mut Random, fixed: &[(usize, u8)]) -> Case {
    let mut case = Case { levels: [0; FACTORS.len()], seed: random.next() >> 48 };
    for (i, (_, _, levels)) in FACTORS.iter().enumerate() {
        // What is plain is as likely as all else together: most pairs are legal beside it.
        let n = levels.len();
        case.levels[i] = if random.below(3) == 0 { 0 } else { random.below(n) as u8 };
    }
    for &(i, level) in fixed {
        case.levels[i] = level;
    }
    for (i, (factor, ..)) in FACTORS.iter().enumerate() {
        if !case.has(*factor) && !fixed.iter().any(|f| f.0 == i) {
            case.levels[i] = 0;
        }
    }
    case
}

/// A legal case, any.
pub fn one(random: &mut Random) -> Case {
    loop {
        let case = any(random, &[]);
        if case.is_legal() {
            return case;
        }
    }
}

/// Cases that hold all legal pairs, and how many pairs that is.
pub fn all(seed: u64) -> (Vec<Case>, usize) {
    let mut random = Random::new(seed);
    let mut open = Vec::new();
    for (i, (_, _, some)) in FACTORS.iter().enumerate() {
        for (j, (_, _, others)) in FACTORS.iter().enumerate().skip(i + 1) {
            for a in 0..some.len() as u8 {
                open.extend((0..others.len() as u8).map(|b| [(i, a), (j, b)]));
            }
        }
    }
    // In an order of its own for every seed.
    for i in (1..open.len()).rev() {
        open.swap(i, random.below(i + 1));
    }
    let (mut cases, mut held) = (Vec::new(), HashSet::<Pair>::new());
    for pair in open {
        if held.contains(&pair) {
            continue;
        }
        let mut best: Option<(usize, Case)> = None;
        let mut found = 0;
        for _ in 0..TRIES {
            let case = any(&mut random, &pair);
            if !case.is_legal() || !pair.iter().all(|&(i, _)| case.has(FACTORS[i].0)) {
                continue;
            }
            let new = pairs(&case).filter(|pair| !held.contains(pair)).count();
            if best.is_none_or(|(most, _)| new > most) {
                best = Some((new, case));
            }
            found += 1;
            if found == CHOICE {
                break;
            }
        }
        if let Some((_, case)) = best {
            held.extend(pairs(&case));
            cases.push(case);
        }
    }
    (cases, held.len())
}
