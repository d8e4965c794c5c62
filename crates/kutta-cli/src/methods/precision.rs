//! Work against precision: what a digit costs in gradients.

use std::error::Error;

use kutta::reference::Problem;
use kutta::reference::textbook::{self, Until};
use kutta::{Tableau, findings};
use plotters::coord::Shift;
use plotters::prelude::*;

use super::group::{Entry, groups};
use crate::numbers::grouped;
use crate::plot::axis::Axis;
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::panel::{Line, Panel, Point};
use crate::plot::style::Style;

/// Himmelblau's function from the origin, which is not convex there, almost to
/// the minimum at (3, 2).
const T_END: f64 = 0.1;
/// Gradients of the dearest runs.
const MOST: f64 = 6000.0;
/// Below this, rounding is all that is left, of coefficients too.
const FLOOR: f64 = 2e-13;
/// An error whose price stands in the legends.
const PRICED: f64 = 1e-6;
/// Steps of the reference.
const REFERENCE: usize = 2000;

pub struct Figure {
    panels: Vec<Panel>,
    x: (f64, f64),
    y: (f64, f64),
}

/// θ(T) after equal steps.
fn end(tableau: &Tableau, steps: usize) -> Result<Vec<f64>, Box<dyn Error>> {
    let problem = Problem::Himmelblau;
    let start = problem.default_start(2)?;
    let mut gradient = |_: usize, theta: &[f64]| problem.gradient(theta);
    let h = T_END / steps as f64;
    let taken = textbook::integrate(tableau, h, &start, Until::Time(T_END), &mut gradient)?;
    Ok(taken.last().map_or(start, |step| step.theta.clone()))
}

fn distance(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| (a - b).powi(2)).sum::<f64>().sqrt()
}

/// θ(T) by the method of highest order, in steps far shorter than it needs.
fn reference(entries: &[Entry]) -> Result<Vec<f64>, Box<dyn Error>> {
    let best = entries.iter().max_by_key(|entry| entry.findings.order);
    end(best.ok_or("there are no methods")?.tableau(), REFERENCE)
}

/// (gradients, error), both as logarithms, from the first steps that give a
/// number to the last digits.
fn curve(entry: &Entry, exact: &[f64]) -> Result<Vec<Point>, Box<dyn Error>> {
    let cost = entry.evaluations() as f64;
    let mut points: Vec<Point> = Vec::new();
    let (mut budget, mut before) = (8.0, 0);
    while budget <= MOST {
        let steps = (budget / cost).round() as usize;
        budget *= 2f64.powf(0.4);
        if steps <= before {
            continue;
        }
        before = steps;
        let error = distance(&end(entry.tableau(), steps)?, exact);
        // What has left for infinity, or for another minimum, has no precision.
        if error.is_nan() || error >= 1.0 {
            points.clear();
            continue;
        }
        points.push(((steps as f64 * cost).log10(), error.max(FLOOR).log10()));
        if error <= FLOOR {
            break;
        }
    }
    Ok(points)
}

/// The name, and the gradients that an error of 10⁻⁶ costs.
fn label(name: &str, curve: &[Point]) -> String {
    match price(curve) {
        Some(gradients) => format!("{name}: {}", grouped(gradients)),
        None => name.to_owned(),
    }
}

/// Read off the line between the last point above the error and the one after.
fn price(curve: &[Point]) -> Option<f64> {
    let wanted = PRICED.log10();
    let last = curve.iter().rposition(|point| point.1 > wanted)?;
    let (a, b) = (curve[last], curve.get(last + 1)?);
    Some(10f64.powf(a.0 + (b.0 - a.0) * (a.1 - wanted) / (a.1 - b.1)))
}

impl Figure {
    /// # Errors
    /// If a run cannot be made.
    pub fn new(entries: &[Entry]) -> Result<Self, Box<dyn Error>> {
        let exact = reference(entries)?;
        let curves: Vec<Vec<Point>> =
            entries.iter().map(|entry| curve(entry, &exact)).collect::<Result<_, _>>()?;
        let extent = |of: fn(&Point) -> f64| {
            let all = curves.iter().flatten().map(of);
            all.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), v| (low.min(v), high.max(v)))
        };
        let (x, y) = (extent(|p| p.0), extent(|p| p.1));
        let panels = groups(entries)
            .into_iter()
            .map(|(group, members)| {
                let others = (0..entries.len()).filter(|i| !members.contains(i));
                // Methods of one order are close: what is drawn first is wider, so
                // that it can be seen below the others.
                let line = |(place, &i): (usize, &usize)| Line {
                    label: label(&entries[i].findings.name, &curves[i]),
                    pieces: vec![curves[i].clone()],
                    areas: Vec::new(),
                    width: 2 + ((members.len() - 1 - place) as i32 / 2).min(4),
                };
                Panel {
                    title: group.title().into(),
                    lines: members.iter().enumerate().map(line).collect(),
                    behind: others.map(|i| curves[i].clone()).collect(),
                    x_name: "gradients",
                    y_name: "error at the end",
                }
            })
            .collect();
        Ok(Self { panels, x: (x.0 - 0.1, x.1 + 0.1), y: (y.0 - 0.4, y.1 + 0.4) })
    }

    fn rows(&self) -> i32 {
        (self.panels.len() as i32 + COLUMNS - 1) / COLUMNS
    }
}

const WIDTH: i32 = 1200;
const COLUMNS: i32 = 3;
const TALL: i32 = 430;
const HEAD: i32 = 44;

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        (WIDTH as u32, (HEAD + TALL * self.rows()) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let title = format!(
            "gradient flow of Himmelblau's function from the origin to t = {}, in f64, and the \
             gradients for an error of {PRICED:e}; grey: the other panels' methods",
            findings::decimals(T_END)
        );
        area.draw(&Text::new(title, (style.length(16), style.length(14)), style.text(18)))?;
        let (_, body) = area.split_vertically(style.length(HEAD));
        let cells = body.split_evenly((self.rows() as usize, COLUMNS as usize));
        for (cells, row) in cells.chunks(COLUMNS as usize).zip(self.panels.chunks(COLUMNS as usize))
        {
            let legend = row.iter().map(|panel| panel.legend_height(WIDTH / COLUMNS)).max();
            for (cell, panel) in cells.iter().zip(row) {
                let axes =
                    (Axis::powers(self.x.0, self.x.1, 8), Axis::powers(self.y.0, self.y.1, 8));
                panel.draw(cell, style, legend.unwrap_or(0), axes)?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entries() -> Vec<Entry> {
        kutta::Method::all().into_iter().map(|method| Entry::new(method).unwrap()).collect()
    }

    /// Other methods, and half the steps, end in the same place.
    #[test]
    fn the_reference_is_accurate() {
        let entries = entries();
        let exact = reference(&entries).unwrap();
        for tableau in [Tableau::dop853(), Tableau::verner7()] {
            for steps in [REFERENCE / 2, REFERENCE] {
                let other = end(&tableau, steps).unwrap();
                assert!(distance(&other, &exact) < FLOOR, "{tableau}: {other:?} {exact:?}");
            }
        }
        assert!(distance(&exact, &[3.0, 2.0]) < 0.2, "{exact:?}");
        assert!(distance(&exact, &[3.0, 2.0]) > 1e-3, "{exact:?}");
    }

    #[test]
    fn prices_are_read_off_the_curve() {
        // Errors 10⁻⁴, 10⁻⁵ and 10⁻⁷ for 10, 100 and 1000 gradients.
        let curve = [(1.0, -4.0), (2.0, -5.0), (3.0, -7.0)];
        assert!((price(&curve).unwrap() - 10f64.powf(2.5)).abs() < 1e-9);
        assert_eq!(price(&curve[..2]), None);
        assert_eq!(label("rk4", &curve), "rk4: 316");
    }

    #[test]
    fn curves_fall_as_steeply_as_their_order() {
        let entries = entries();
        let exact = reference(&entries).unwrap();
        for entry in &entries {
            let points = curve(entry, &exact).unwrap();
            assert!(points.len() >= 5, "{}: {points:?}", entry.findings.name);
            let good: Vec<&Point> = points.iter().filter(|p| p.1 > FLOOR.log10() + 1.0).collect();
            let [.., a, b] = good[..] else { panic!("{points:?}") };
            let slope = (a.1 - b.1) / (b.0 - a.0);
            let order = entry.findings.order as f64;
            assert!(slope > order - 0.5, "{}: {slope}", entry.findings.name);
        }
    }
}
