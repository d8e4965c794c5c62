//! Finds the cheapest way to write each stage point and the step.
//!
//! A point of a step is θ − hΣ aⱼkⱼ; so is any average of points. Since the
//! earlier points are still on the device, a new one may be cheaper as an
//! average of those plus fewer gradients: RK4's step reads y₃, y₄, k₁, k₄
//! where the textbook form reads θ and four gradients. Only averages with
//! positive weights are taken, so rounding errors of the points are averaged
//! too and never amplified.

use super::Name;
use crate::tableau::Tableau;

/// target = base + Σ w (point − base) − h Σ a k.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Form {
    pub base: Name,
    pub points: Vec<(f64, Name)>,
    pub gradients: Vec<(f64, Name)>,
}

impl Form {
    fn reads(&self) -> usize {
        1 + self.points.len() + self.gradients.len()
    }
}

/// Coefficients below this, relative to the row, are rounding of zero.
const ZERO: f64 = 1e-13;

/// More combinations of equally cheap forms than this are not compared.
const MOST_COMBINATIONS: usize = 512;

/// Above this many stages averages of three points are not searched.
const MOST_STAGES_FOR_TRIPLES: usize = 10;

/// Coefficients of what follows stage i: the point of stage i + 1, or the step.
pub(super) fn row(tableau: &Tableau, i: usize) -> Vec<f64> {
    let stages = tableau.stages();
    if i == stages {
        tableau.b().to_vec()
    } else {
        (1..=stages).map(|j| a(tableau, i + 1, j)).collect()
    }
}

/// a with indices from 1.
fn a(tableau: &Tableau, i: usize, j: usize) -> f64 {
    if j < i { tableau.rows()[i - 1][j - 1] } else { 0.0 }
}

/// Every combination of cheapest forms, the most direct one first. Each has a
/// form for stages 2 … s and one for the step.
pub(super) fn cheapest(tableau: &Tableau) -> Vec<Vec<Form>> {
    let stages = tableau.stages();
    let rows: Vec<Vec<f64>> = (1..=stages).map(|i| row(tableau, i)).collect();
    let mut choices: Vec<Vec<Form>> =
        (0..stages).map(|i| cheapest_forms(&rows[i], &rows[..i])).collect();
    let combinations = choices
        .iter()
        .try_fold(1usize, |n, c| n.checked_mul(c.len()).filter(|&n| n <= MOST_COMBINATIONS));
    if combinations.is_none() {
        choices.iter_mut().for_each(|c| c.truncate(1));
    }
    choices.into_iter().fold(vec![vec![]], |plans, forms| {
        let extend = |plan: &Vec<Form>, form: &Form| {
            plan.iter().chain(std::iter::once(form)).cloned().collect()
        };
        plans.iter().flat_map(|plan| forms.iter().map(move |form| extend(plan, form))).collect()
    })
}

/// `earlier[j]` holds the coefficients of stage j + 2's point.
fn cheapest_forms(target: &[f64], earlier: &[Vec<f64>]) -> Vec<Form> {
    let zero = vec![0.0; target.len()];
    let points: Vec<(Name, &[f64])> = std::iter::once((Name::Theta, zero.as_slice()))
        .chain(earlier.iter().zip(2..).map(|(row, i)| (Name::Point(i), row.as_slice())))
        .collect();
    let mut forms = Vec::new();
    for (p, &first) in points.iter().enumerate() {
        forms.extend(form(target, &[(1.0, first)]));
        for (q, &second) in points.iter().enumerate().skip(p + 1) {
            for j in 0..target.len() {
                // w makes coefficient j of the rest vanish.
                let (x, y) = (first.1[j], second.1[j]);
                let w = (target[j] - x) / (y - x);
                forms.extend(form(target, &[(1.0 - w, first), (w, second)]));
            }
            if target.len() > MOST_STAGES_FOR_TRIPLES {
                continue;
            }
            for &third in &points[q + 1..] {
                for j in 0..target.len() {
                    for k in j + 1..target.len() {
                        forms.extend(triple(target, [first, second, third], j, k));
                    }
                }
            }
        }
    }
    let least = forms.iter().map(Form::reads).min().unwrap_or(0);
    forms.retain(|form| form.reads() == least);
    forms.sort_by_key(|form| form.points.len());
    let mut distinct: Vec<Form> = Vec::new();
    for form in forms {
        let same = |other: &Form| {
            let names = |f: &Form| (f.base, f.points.iter().map(|p| p.1).collect::<Vec<_>>());
            names(other) == names(&form)
        };
        if !distinct.iter().any(same) {
            distinct.push(form);
        }
    }
    distinct
}

/// Weights of three points that make coefficients j and k vanish.
fn triple(target: &[f64], points: [(Name, &[f64]); 3], j: usize, k: usize) -> Option<Form> {
    let [first, second, third] = points;
    let column = |p: &[f64]| (p[j] - first.1[j], p[k] - first.1[k]);
    let ((a, c), (b, d)) = (column(second.1), column(third.1));
    let (x, y) = (target[j] - first.1[j], target[k] - first.1[k]);
    let determinant = a * d - b * c;
    let (v, w) = ((x * d - b * y) / determinant, (a * y - c * x) / determinant);
    form(target, &[(1.0 - v - w, first), (v, second), (w, third)])
}

/// The form with these points, if their weights are positive.
fn form(target: &[f64], points: &[(f64, (Name, &[f64]))]) -> Option<Form> {
    // Written so that NaN, from a singular system, fails too.
    if !points.iter().all(|&(w, _)| w > ZERO && w <= 1.0) {
        return None;
    }
    let scale = target.iter().fold(1.0, |m: f64, a| m.max(a.abs()));
    let gradients = (0..target.len())
        .map(|j| target[j] - points.iter().map(|(w, (_, row))| w * row[j]).sum::<f64>())
        .zip(1..)
        .filter(|(a, _)| a.abs() > ZERO * scale)
        .map(|(a, j)| (a, Name::Gradient(j)))
        .collect();
    let (&(_, (base, _)), rest) = points.split_first()?;
    let points = rest.iter().map(|&(w, (name, _))| (w, name)).collect();
    Some(Form { base, points, gradients })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_form_expands_to_its_row() {
        for tableau in Tableau::all() {
            let stages = tableau.stages();
            let rows: Vec<_> = (1..=stages).map(|i| row(&tableau, i)).collect();
            let increments = |name: &Name| match name {
                Name::Theta => vec![0.0; stages],
                Name::Point(i) => rows[*i as usize - 2].clone(),
                other => panic!("{other:?} is no point"),
            };
            for forms in cheapest(&tableau) {
                for (form, row) in forms.iter().zip(&rows) {
                    let rest: f64 = form.points.iter().map(|p| p.0).sum();
                    let mut sum: Vec<f64> =
                        increments(&form.base).iter().map(|x| x * (1.0 - rest)).collect();
                    for (w, name) in &form.points {
                        sum.iter_mut().zip(increments(name)).for_each(|(s, x)| *s += w * x);
                    }
                    for (a, name) in &form.gradients {
                        let Name::Gradient(j) = name else { panic!("{name:?}") };
                        sum[*j as usize - 1] += a;
                    }
                    for (s, x) in sum.iter().zip(row) {
                        assert!(
                            (s - x).abs() < 1e-14,
                            "{}: {sum:?} is not {row:?}",
                            tableau.name()
                        );
                    }
                }
            }
        }
    }
}
