//! Chooses which partial sums a step keeps, and which kernel makes what.
//!
//! After each gradient kᵢ a kernel makes the next point, and reads gradients for it.
//! What it has read it can also write as partial sums of later rows: P = θ − h Σ a k
//! of a point's row, or Σ d k of the error's. A later kernel then reads one sum in
//! place of many gradients. Every choice of sums is a path through states "how far is
//! each row's sum"; the path that moves fewest words is found layer by layer, exactly
//! where there are few enough stages.

use std::collections::HashMap;
use std::sync::{LazyLock, Mutex, PoisonError};

use super::Name;
use super::search::Form;

/// A value that is made from gradients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// The point of this stage.
    Point(usize),
    /// θ', or ḡ where there is momentum.
    Step,
    /// Σ (b − b̂) k.
    Error,
    /// Σ (b − b_low) k.
    Lower,
}

/// The reads of one row: of the coefficients, which are not zero.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Row {
    pub(super) target: Target,
    /// Bit j is kⱼ.
    gradients: u64,
    /// Points of an average, θ among them; none where the row is θ and gradients.
    points: Vectors,
    /// Its sums contain θ.
    pub(super) based: bool,
}

/// The last kernels of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Ending {
    pub(super) judged: bool,
    /// The candidate is the last stage's point already.
    pub(super) same: bool,
    /// θ' comes of ḡ by way of momentum or decay.
    pub(super) finish: bool,
    pub(super) momentum: bool,
    /// θ' and the error may come of one kernel.
    pub(super) together: bool,
}

/// The problem: rows, and what limits a kernel.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Model {
    pub(super) stages: usize,
    /// Points in order of their stages, then the step, the error, the lower error.
    pub(super) rows: Vec<Row>,
    pub(super) ending: Ending,
    /// Kernels that scale by h read D's state.
    pub(super) diagonal: bool,
    /// Storage buffers a kernel may bind.
    pub(super) bindings: usize,
    /// Gradients that a kernel must check on first sight: not those with a share in
    /// θ' or the error of a judged step.
    pub(super) checked: u64,
    /// Gradients that the point after them reads.
    pub(super) followed: u64,
    /// Gradients are stored in half the bytes of everything else. Else, what is written
    /// may take the place of one that is read for the last time.
    pub(super) narrow: bool,
}

/// The outputs of one kernel, as a set of rows.
pub(super) type Group = u32;

/// A way through the step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Path {
    /// In halves of a word.
    pub(super) cost: usize,
    /// For the time after each kᵢ, i < s, its kernels; the one with the point last.
    pub(super) kernels: Vec<Vec<Group>>,
    /// θ' and the error come of one kernel.
    pub(super) together: bool,
}

/// Up to which gradient each row has been summed; 0 where there is no sum.
pub(super) type Summed = [u8; MOST_ROWS];
pub(super) const MOST_ROWS: usize = 24;
/// Where there are more, rows are not summed in parts.
const MOST_STAGES: usize = 16;

/// The longest methods whose every path is looked at.
const MOST_STAGES_EXACTLY: usize = 9;

/// States kept in a layer, and sums begun at once, where there are more stages.
const MOST_STATES: usize = 16;
const MOST_SUMS_AT_ONCE: u32 = 2;

/// Paths found before.
static KNOWN: LazyLock<Mutex<HashMap<Model, Option<Path>>>> = LazyLock::new(Mutex::default);
const MOST_KNOWN: usize = 4096;

/// A set of vectors.
type Vectors = u128;
const THETA: Vectors = 1 << 127;
const GRADIENTS: Vectors = (1 << 48) - 1;

fn sum(row: usize) -> Vectors {
    1 << (48 + row)
}

fn point(i: usize) -> Vectors {
    1 << (72 + i)
}

impl Row {
    pub(super) fn new(target: Target, form: &Form, based: bool) -> Self {
        let gradients = form.gradients.iter().fold(0, |set, (_, name)| match name {
            Name::Gradient(j) => set | 1 << j,
            _ => set,
        });
        let names = form.points.iter().map(|p| p.1).chain([form.base]);
        let points = names.fold(0, |set, name| match name {
            Name::Point(i) => set | point(i as usize),
            _ => set | THETA,
        });
        let points = if points == THETA { 0 } else { points };
        Self { target, gradients, points, based }
    }

    /// It is no average of earlier points, so parts of it can be summed.
    pub(super) fn direct(&self) -> bool {
        self.points == 0
    }

    /// It is made after the point of stage i + 1.
    fn later(&self, i: usize) -> bool {
        !matches!(self.target, Target::Point(p) if p <= i + 1)
    }
}

/// The gradients that the point after each of them reads.
pub(super) fn followed(rows: &[Row]) -> u64 {
    let own = rows.iter().filter_map(|row| match row.target {
        Target::Point(i) => Some(row.gradients & (1 << (i - 1))),
        _ => None,
    });
    own.fold(0, |set, own| set | own)
}

/// Gradients k₁ … kᵢ.
fn up_to(i: usize) -> u64 {
    (2 << i) - 1
}

impl Model {
    /// Lists what making row `t`, or its sum up to kᵢ, reads.
    fn reads(&self, t: usize, summed: &Summed, i: usize, complete: bool) -> Vectors {
        let row = &self.rows[t];
        let from = usize::from(summed[t]);
        let mut reads = Vectors::from(row.gradients & up_to(i) & !up_to(from)) | row.points;
        if from > 0 {
            reads |= sum(t);
        }
        let of_theta = match row.target {
            Target::Point(_) => true,
            Target::Step => !self.ending.finish,
            Target::Error | Target::Lower => false,
        };
        let bare = from == 0 && (complete || row.based);
        if row.direct() && of_theta && (bare || (complete && !row.based)) {
            reads |= THETA;
        }
        reads
    }

    fn point_row(&self, i: usize) -> Option<usize> {
        self.rows.iter().position(|row| row.target == Target::Point(i))
    }

    /// Words of one kernel after kᵢ that makes `outputs`, and what it binds, checks
    /// apart. `after` it the rows are summed so far, and `rest` is made at this time too.
    fn kernel(&self, i: usize, outputs: Group, summed: &Summed, rest: Group) -> Cost {
        let mut reads = 0;
        let mut scaled = false;
        let mut after = *summed;
        for t in members(outputs) {
            let complete = self.rows[t].target == Target::Point(i + 1);
            reads |= self.reads(t, summed, i, complete);
            scaled |= complete || self.rows[t].based;
            after[t] = i as u8;
        }
        let written = outputs.count_ones() as usize;
        let vectors = reads.count_ones() as usize + written;
        let moved = self.halves(reads) + 2 * written;
        let state = match (self.diagonal && scaled, i) {
            (false, _) => 0,
            (true, 1) => 2,
            (true, _) => 1,
        };
        let must_check = reads as u64 & self.checked & !self.seen_before(i) != 0;
        let mut bindings = vectors + usize::from(state > 0);
        if bindings >= self.bindings {
            // What nothing reads any more makes room for what is written.
            let mut needed = self.kept();
            for (t, row) in self.rows.iter().enumerate() {
                if row.later(i) {
                    needed |= self.reads(t, &after, self.stages, true);
                }
                if rest & (1 << t) != 0 {
                    needed |= self.reads(t, summed, i, row.target == Target::Point(i + 1));
                }
            }
            let over = if self.narrow { !GRADIENTS } else { Vectors::MAX };
            bindings -= ((reads & !needed & over).count_ones() as usize).min(written);
        }
        Cost { moved: moved + 2 * state, bindings, must_check }
    }

    /// Vectors that outlive the attempt, or its stages.
    fn kept(&self) -> Vectors {
        // The next attempt may begin with k₁, unless this one is accepted.
        if self.ending.same { THETA | 2 } else { THETA }
    }

    /// Halves of a word that reading these moves.
    fn halves(&self, reads: Vectors) -> usize {
        let narrow = if self.narrow { reads & GRADIENTS } else { 0 };
        2 * reads.count_ones() as usize - narrow.count_ones() as usize
    }

    fn fits(&self, cost: Cost) -> bool {
        cost.bindings + usize::from(cost.must_check) <= self.bindings
    }

    /// Gradients before kᵢ that the next point after each of them has read.
    fn seen_before(&self, i: usize) -> u64 {
        self.followed & up_to(i - 1)
    }

    /// Tells whether a kernel has room to look at what it reads, where it must or not.
    pub(super) fn has_room(&self, i: usize, outputs: Group, summed: &Summed, rest: Group) -> bool {
        self.kernel(i, outputs, summed, rest).bindings < self.bindings
    }

    /// Rows that are still to be made after the point of stage i + 1, and have
    /// gradients that a sum could take in.
    fn summable(&self, i: usize, summed: &Summed) -> Group {
        // After k₁ alone a sum reads what it spares.
        if i == 1 {
            return 0;
        }
        let rows = self.rows.iter().enumerate().filter(|(t, row)| {
            let fresh = up_to(i) & !up_to(usize::from(summed[*t]));
            row.later(i) && row.direct() && row.gradients & fresh != 0
        });
        rows.fold(0, |set, (t, _)| set | 1 << t)
    }

    /// The cheapest one or two kernels that make the point after kᵢ and `sums`.
    fn cheapest_kernels(
        &self,
        i: usize,
        own: Group,
        sums: Group,
        summed: &Summed,
        exact: bool,
    ) -> Option<(usize, Vec<Group>)> {
        if self.is_there(i, own, summed) {
            return match sums {
                0 => Some((0, vec![])),
                _ => self.cheapest_kernels(i, 0, sums, summed, exact),
            };
        }
        let one = self.kernel(i, own | sums, summed, 0);
        if self.fits(one) {
            return Some((one.moved, vec![own | sums]));
        }
        let split = |apart: Group| {
            let rest = own | (sums & !apart);
            let mut after = *summed;
            members(apart).for_each(|t| after[t] = i as u8);
            let (first, second) =
                (self.kernel(i, apart, summed, rest), self.kernel(i, rest, &after, 0));
            let fit = self.fits(first) && self.fits(second);
            fit.then(|| (first.moved + second.moved, vec![apart, rest]))
        };
        let moved = |found: &(usize, Vec<Group>)| found.0;
        if exact {
            // Every part of `sums`, from all of it down.
            let parts = std::iter::successors(Some(sums), |&apart| {
                Some(apart.checked_sub(1)? & sums).filter(|&apart| apart != 0)
            });
            parts.filter(|&apart| apart != 0).filter_map(split).min_by_key(moved)
        } else {
            let ends = members(sums).map(|t| sums & ((2 << t) - 1));
            ends.filter_map(split).min_by_key(moved)
        }
    }

    /// The sum of the point after kᵢ lacks nothing: it is the point.
    fn is_there(&self, i: usize, own: Group, summed: &Summed) -> bool {
        members(own).any(|t| {
            self.rows[t].based && summed[t] > 0 && self.reads(t, summed, i, true) == sum(t)
        })
    }

    /// Words that are moved after the point of stage i + 1, whatever is summed: a point
    /// that takes in a new gradient reads that and something else.
    fn least(&self, i: usize) -> usize {
        let each = if self.narrow { 5 } else { 6 };
        (i + 1..self.stages).filter(|&j| self.followed & (1 << j) != 0).count() * each + each
    }

    /// The words that the last kernels move, and whether they are one kernel.
    fn end(&self, summed: &Summed) -> Option<(usize, bool)> {
        let s = self.stages;
        let row = |target| self.rows.iter().position(|row| row.target == target);
        let reads = |target| row(target).map_or(0, |t| self.reads(t, summed, s, true));
        let count = |reads: Vectors| reads.count_ones() as usize;
        let state = usize::from(self.diagonal);
        let momentum = usize::from(self.ending.momentum);
        let within = |bindings: usize| bindings <= self.bindings;
        let step = reads(Target::Step);
        // θ is read and written in place of reading and writing another vector.
        let (step_moved, step_bindings) = if self.ending.finish {
            let theta = usize::from(self.ending.judged);
            let moved = self.halves(step) + 2 * (2 + 2 * momentum + state);
            (moved, count(step) + theta + 1 + momentum + state)
        } else if self.ending.judged {
            (self.halves(step) + 2 * (1 + state), count(step) + 1 + state)
        } else {
            (self.halves(step) + 2 * (1 + state), count(step | THETA) + state)
        };
        if !self.ending.judged {
            return within(step_bindings).then_some((step_moved, false));
        }
        let error = reads(Target::Error) | reads(Target::Lower);
        // θ, θ' and the partial sums.
        let (moved, bindings) = (self.halves(error) + 2 * (2 + state), count(error) + 3 + state);
        if self.ending.same {
            return within(bindings).then_some((moved, false));
        }
        let apart = (within(step_bindings) && within(bindings)).then_some(step_moved + moved);
        let reads = (error | step) & !THETA;
        let (both, moved) = (count(reads), self.halves(reads));
        let (moved, bindings) = if self.ending.finish {
            (moved + 2 * (2 + 2 * momentum + state), both + 3 + momentum + state)
        } else {
            (moved + 2 * (2 + state), both + 3 + state)
        };
        let one = (self.ending.together && within(bindings)).then_some(moved);
        match (apart, one) {
            (None, None) => None,
            (Some(apart), Some(one)) if apart < one => Some((apart, false)),
            (Some(apart), None) => Some((apart, false)),
            (_, Some(one)) => Some((one, true)),
        }
    }

    /// Vectors that must be there after the kernels that follow kᵢ: sums and
    /// gradients that something is yet to read, θ, the point and its gradient.
    fn alive(&self, i: usize, summed: &Summed) -> usize {
        let mut reads = self.kept();
        for (t, row) in self.rows.iter().enumerate() {
            if row.later(i) {
                reads |= self.reads(t, summed, i, false);
            }
        }
        (reads & !point(i + 1)).count_ones() as usize + 2
    }

    /// The path with fewest words, and among those with fewest vectors alive.
    pub(super) fn cheapest(&self) -> Option<Path> {
        if self.rows.len() > MOST_ROWS || self.stages > MOST_STAGES {
            return None;
        }
        let lock = || KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(path) = lock().get(self) {
            return path.clone();
        }
        let path = self.search(false, usize::MAX).and_then(|path| {
            if self.stages > MOST_STAGES_EXACTLY {
                return Some(path);
            }
            // What a rough search has found bounds an exact one.
            self.search(true, path.cost)
        });
        let mut known = lock();
        if known.len() >= MOST_KNOWN {
            known.clear();
        }
        known.insert(self.clone(), path.clone());
        path
    }

    /// A path that moves at most so much.
    fn search(&self, exact: bool, most: usize) -> Option<Path> {
        // Few of them, or nearly all.
        let tried = |sums: Group, all: Group| {
            let left = all.count_ones() - sums.count_ones();
            exact || sums.count_ones().min(left) <= MOST_SUMS_AT_ONCE
        };
        let mut nodes: Vec<Node> = vec![Node::default()];
        let mut layer: Vec<usize> = vec![0];
        for i in 1..self.stages {
            let own = self.point_row(i + 1).map_or(0, |t| 1 << t);
            let least = self.least(i);
            let mut next: HashMap<Summed, Node> = HashMap::new();
            for &from in &layer {
                let Node { cost, peak, summed, .. } = nodes[from];
                let all = self.summable(i, &summed);
                let mut sums = all;
                loop {
                    if tried(sums, all)
                        && let Some((moved, kernels)) =
                            self.cheapest_kernels(i, own, sums, &summed, exact)
                        && cost + moved + least <= most
                    {
                        let mut after = summed;
                        members(sums).for_each(|t| after[t] = i as u8);
                        members(own).for_each(|t| after[t] = 0);
                        let peak = peak.max(self.alive(i, &after));
                        let node = Node { cost: cost + moved, peak, summed: after, from, kernels };
                        let known = next.entry(after).or_insert_with(|| node.clone());
                        if (node.cost, node.peak) < (known.cost, known.peak) {
                            *known = node;
                        }
                    }
                    if sums == 0 {
                        break;
                    }
                    sums = (sums - 1) & all;
                }
            }
            let mut found: Vec<Node> = next.into_values().collect();
            // The order of a map is no order: ties go to the state with fewest sums.
            found.sort_by_cached_key(|node| {
                let rest = if exact { 0 } else { self.rest(i, &node.summed) };
                (node.cost + rest, node.peak, node.summed)
            });
            if !exact {
                found.truncate(MOST_STATES);
            }
            layer = (nodes.len()..nodes.len() + found.len()).collect();
            nodes.extend(found);
        }
        let ended = layer.iter().filter_map(|&node| {
            let (moved, together) = self.end(&nodes[node].summed)?;
            Some((nodes[node].cost + moved, nodes[node].peak, node, together))
        });
        let (cost, _, mut node, together) = ended.min()?;
        let mut kernels = Vec::new();
        for _ in 1..self.stages {
            kernels.push(std::mem::take(&mut nodes[node].kernels));
            node = nodes[node].from;
        }
        kernels.reverse();
        Some(Path { cost, kernels, together })
    }

    /// The words left to move if no more sums are made, or all at once after some kⱼ.
    fn rest(&self, i: usize, summed: &Summed) -> usize {
        let made = |summed: &Summed, from: usize, to: usize| -> usize {
            let rows = self.rows.iter().enumerate();
            let rows = rows.filter(|(_, row)| row.later(from) && !row.later(to));
            rows.map(|(t, _)| self.halves(self.reads(t, summed, self.stages, true)) + 2).sum()
        };
        let end = self.stages + 1;
        let everything = |row: &Row| matches!(row.target, Target::Point(_));
        let others: usize = (0..self.rows.len())
            .filter(|&t| !everything(&self.rows[t]))
            .map(|t| self.halves(self.reads(t, summed, self.stages, true)))
            .sum();
        let without = made(summed, i, end) + others;
        let at = |j: usize| {
            let all = self.summable(j, summed);
            let mut after = *summed;
            let mut reads = 0;
            for t in members(all) {
                reads |= self.reads(t, summed, j, false);
                after[t] = j as u8;
            }
            let (count, written) = (reads.count_ones() as usize, all.count_ones() as usize);
            let moved = self.halves(reads);
            // Where not all fit into one kernel, several read the same.
            let room = (self.bindings + 1).saturating_sub(count).max(1);
            let again = written.div_ceil(room).saturating_sub(1) * moved;
            let others: usize = (0..self.rows.len())
                .filter(|&t| !everything(&self.rows[t]))
                .map(|t| self.halves(self.reads(t, &after, self.stages, true)))
                .sum();
            made(summed, i, j) + moved + 2 * written + again + made(&after, j, end) + others
        };
        (i + 1..self.stages).map(at).chain([without]).min().unwrap_or(without)
    }
}

/// The words that a kernel moves, and the buffers that it binds.
#[derive(Clone, Copy)]
struct Cost {
    /// In halves of a word.
    moved: usize,
    bindings: usize,
    /// It sees a gradient first that it must check: one binding more.
    must_check: bool,
}

/// A state that some path leads to.
#[derive(Clone, Debug, Default)]
struct Node {
    cost: usize,
    peak: usize,
    summed: Summed,
    from: usize,
    kernels: Vec<Group>,
}

/// The rows of a set.
pub(super) fn members(group: Group) -> impl Iterator<Item = usize> {
    (0..MOST_ROWS).filter(move |t| group & (1 << t) != 0)
}

/// Every sequence of kernels, for a test.
#[cfg(test)]
pub(super) struct Everything<'m> {
    model: &'m Model,
    /// Less than this is looked for, in halves of a word.
    limit: usize,
    /// What led to each state with least moved: what moved more cannot do better.
    seen: HashMap<(usize, Summed), usize>,
}

#[cfg(test)]
impl Everything<'_> {
    /// Tells whether some sequence of kernels moves less than `limit`.
    pub(super) fn moves_less(model: &Model, limit: usize) -> bool {
        let mut everything = Everything { model, limit, seen: HashMap::new() };
        everything.after(1, &Summed::default(), 0)
    }

    /// Searches from the time after kᵢ on.
    fn after(&mut self, i: usize, summed: &Summed, moved: usize) -> bool {
        let model = self.model;
        if i == model.stages {
            return model.end(summed).is_some_and(|(last, _)| moved + last < self.limit);
        }
        let seen = self.seen.entry((i, *summed)).or_insert(usize::MAX);
        if *seen <= moved {
            return false;
        }
        *seen = moved;
        let own = model.point_row(i + 1).map_or(0, |t| 1 << t);
        // After k₁ as well, where the search makes no sums.
        let rows = model.rows.iter().enumerate().filter(|(t, row)| {
            let fresh = up_to(i) & !up_to(usize::from(summed[*t]));
            row.later(i) && row.direct() && row.gradients & fresh != 0
        });
        let all = rows.fold(0, |set, (t, _)| set | 1 << t);
        let there = model.is_there(i, own, summed);
        let mut sums: Group = all;
        loop {
            let wanted = if there { sums } else { own | sums };
            if self.kernels(i, own, wanted, summed, moved) {
                return true;
            }
            if sums == 0 {
                return false;
            }
            sums = (sums - 1) & all;
        }
    }

    /// Every order and grouping of what is wanted after kᵢ, then what follows. One kernel
    /// that makes all moves no more than several that do.
    fn kernels(
        &mut self,
        i: usize,
        own: Group,
        wanted: Group,
        summed: &Summed,
        moved: usize,
    ) -> bool {
        let model = self.model;
        if moved + model.least(i) >= self.limit {
            return false;
        }
        if wanted == 0 {
            let mut after = *summed;
            members(own).for_each(|t| after[t] = 0);
            return self.after(i + 1, &after, moved);
        }
        let mut group = wanted;
        while group != 0 {
            let cost = model.kernel(i, group, summed, wanted & !group);
            if model.fits(cost) {
                let mut after = *summed;
                members(group).for_each(|t| after[t] = i as u8);
                if self.kernels(i, own, wanted & !group, &after, moved + cost.moved) {
                    return true;
                }
                if group == wanted {
                    return false;
                }
            }
            group = (group - 1) & wanted;
        }
        false
    }
}
