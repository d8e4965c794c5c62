//! Where |R(z)| ≤ 1: the steps that a method can take.

use std::error::Error;

use contour::ContourBuilder;
use kutta::Tableau;
use kutta::findings::decimals;
use plotters::coord::Shift;
use plotters::prelude::*;

use super::group::{Entry, Group, groups};
use crate::plot::axis::Axis;
use crate::plot::canvas::{Outcome, Picture};
use crate::plot::panel::{Line, Panel, Point};
use crate::plot::style::Style;

/// Points along the longer side of the grid on which |R| is looked at.
const GRID: usize = 400;

pub struct Figure {
    /// Panels in rows of three, and below them strips of the whole width.
    panels: Vec<Region>,
    strips: Vec<Region>,
}

/// A panel and the box around its lines.
struct Region {
    panel: Panel,
    bounds: Bounds,
}

/// x from `left` to `right`, y from 0 to `top`.
#[derive(Clone, Copy, Debug)]
struct Bounds {
    left: f64,
    right: f64,
    top: f64,
}

impl Bounds {
    fn around(self, other: Self) -> Self {
        Self {
            left: self.left.min(other.left),
            right: self.right.max(other.right),
            top: self.top.max(other.top),
        }
    }
}

const WIDTH: i32 = 1200;
const COLUMNS: usize = 3;
const CELL: i32 = WIDTH / COLUMNS as i32;
const HEAD: i32 = 44;

impl Figure {
    /// # Errors
    /// If no contour can be found.
    pub fn new(entries: &[Entry]) -> Result<Self, Box<dyn Error>> {
        let (mut panels, mut strips) = (Vec::new(), Vec::new());
        for (group, members) in groups(entries) {
            let members: Vec<&Entry> = members.into_iter().map(|i| &entries[i]).collect();
            let shared = shared(&members);
            if group == Group::Stabilised {
                for (tableau, label) in shared {
                    // β is nothing without them.
                    let stages =
                        members.iter().find(|entry| std::ptr::eq(entry.tableau(), tableau));
                    let stages = stages.map_or(tableau.stages(), |entry| entry.evaluations());
                    let label = format!("{stages} stages of {label}");
                    strips.push(Region::new(String::new(), &[(tableau, label)])?);
                }
            } else {
                panels.push(Region::new(group.title().into(), &shared)?);
            }
        }
        Ok(Self { panels, strips })
    }

    /// Panels beside each other, with the height that their legends and their
    /// axes need.
    fn rows(&self) -> Vec<(&[Region], i32, i32)> {
        let row = |row: &'_ [Region]| {
            let legend = row.iter().map(|region| region.panel.legend_height(CELL)).max();
            let axes = row.iter().map(|Region { panel, bounds }| {
                let (width, _) = panel.room((CELL, 0), 0);
                (width * bounds.top / (bounds.right - bounds.left)).min(width) as i32
            });
            (legend.unwrap_or(0), axes.max().unwrap_or(0).max(180))
        };
        self.panels
            .chunks(COLUMNS)
            .map(|regions| {
                let (legend, axes) = row(regions);
                (regions, legend, Panel::height(axes, legend))
            })
            .collect()
    }

    /// Strips have one scale, by the longest.
    fn strip_box(&self) -> Option<Bounds> {
        self.strips.iter().map(|strip| strip.bounds).reduce(Bounds::around)
    }

    /// Height of the axes and of the whole strip.
    fn strip_height(&self, strip: &Region) -> (f64, i32) {
        let (width, _) = strip.panel.room((WIDTH, 0), 0);
        let all = self.strip_box().unwrap_or(strip.bounds);
        let height = (width * strip.bounds.top / (all.right - all.left)).max(60.0);
        (height, Panel::height(height.ceil() as i32, strip.panel.legend_height(WIDTH)))
    }
}

/// Methods with one polynomial R share a line.
fn shared<'e>(members: &[&'e Entry]) -> Vec<(&'e Tableau, String)> {
    let mut shared: Vec<(&Tableau, Vec<f64>, String, f64)> = Vec::new();
    for entry in members {
        let polynomial = entry.tableau().stability_polynomial();
        let same = |other: &[f64]| {
            let at = |p: &[f64], j: usize| p.get(j).copied().unwrap_or(0.0);
            (0..other.len().max(polynomial.len())).all(|j| {
                let (a, b) = (at(other, j), at(&polynomial, j));
                (a - b).abs() <= 1e-12 * a.abs().max(b.abs()).max(1e-3)
            })
        };
        match shared.iter_mut().find(|(_, other, ..)| same(other)) {
            Some((_, _, names, _)) => *names += &format!(", {}", entry.findings.name),
            None => {
                let f = &entry.findings;
                shared.push((entry.tableau(), polynomial, f.name.clone(), f.real_limit));
            }
        }
    }
    let label = |(tableau, _, names, limit): (_, _, String, f64)| {
        (tableau, format!("{names}: {}", decimals((100.0 * limit).round() / 100.0)))
    };
    shared.into_iter().map(label).collect()
}

impl Region {
    fn new(title: String, methods: &[(&Tableau, String)]) -> Result<Self, Box<dyn Error>> {
        let mut around = Bounds { left: -0.5, right: 0.1, top: 0.1 };
        for (tableau, _) in methods {
            around = around.around(extent(tableau)?);
        }
        let mut lines = Vec::new();
        for (tableau, label) in methods {
            let rings = rings(tableau, around)?;
            let pieces = rings.iter().flat_map(|ring| above(ring)).collect();
            let flat = |ring: Vec<Point>| ring.into_iter().map(|(x, y)| (x, y.max(0.0))).collect();
            let areas = rings.into_iter().map(flat).collect();
            lines.push(Line { label: label.clone(), pieces, areas, width: 2 });
        }
        let room = 0.04 * (around.right - around.left);
        let bounds =
            Bounds { left: around.left - room, right: around.right + room, top: around.top + room };
        let panel = Panel { title, lines, behind: Vec::new(), x_name: "Re hλ", y_name: "Im hλ" };
        Ok(Self { panel, bounds })
    }
}

/// The box around what [`rings`] finds.
fn extent(tableau: &Tableau) -> Result<Bounds, Box<dyn Error>> {
    let r = tableau.stability_polynomial();
    let degree = r.iter().rposition(|&r| r.abs() > 1e-300).unwrap_or(0);
    // Roots of R − w with |w| ≤ 1, which is all that is stable, are no larger
    // (Fujiwara 1916).
    let root = |(k, r_k): (usize, &f64)| {
        let size = if k == 0 { r_k.abs() + 1.0 } else { r_k.abs() };
        (size / r[degree].abs()).powf(1.0 / (degree - k) as f64)
    };
    let bound = 2.0 * r[..degree].iter().enumerate().map(root).fold(0.0, f64::max);
    // Coarsely first, then as finely as what was found allows.
    let mut found = Bounds { left: -bound, right: bound, top: bound };
    for _ in 0..3 {
        let cell = (found.right - found.left) / GRID as f64;
        let least = Bounds { left: -tableau.real_limit(), right: 0.0, top: 0.0 };
        let points = rings(tableau, found)?.into_iter().flatten();
        found = points.fold(least, |all, (x, y)| {
            all.around(Bounds { left: x - cell, right: x + cell, top: y + cell })
        });
    }
    Ok(found)
}

/// The lines |R| = 1, from a grid that reaches a little below the real axis.
/// Islands where everything grows are of no use to anybody, and left out.
fn rings(tableau: &Tableau, around: Bounds) -> Result<Vec<Vec<Point>>, Box<dyn Error>> {
    let (width, height) = (around.right - around.left, around.top);
    // As fine in both directions, unless the box is very flat.
    let step = width.max(height) / GRID as f64;
    let (x_step, y_step) = (step.min(width / 60.0), step.min(height / 60.0));
    let columns = (1.1 * width / x_step) as usize;
    let rows = (1.05 * height / y_step) as usize + 3;
    let (x0, y0) = (around.left - 0.05 * width, -2.5 * y_step);
    let mut values = Vec::with_capacity(columns * rows);
    for j in 0..rows {
        for i in 0..columns {
            let (re, im) = tableau.stability(x0 + i as f64 * x_step, y0 + j as f64 * y_step);
            // The logarithm is nearly straight across the line; its ends are
            // cut where |R| is 0 or beyond all numbers.
            values.push((-re.hypot(im).ln()).clamp(-2.0, 2.0));
        }
    }
    // The library gives a value half a cell of room on either side.
    let lines = ContourBuilder::new(columns, rows, true)
        .x_step(x_step)
        .y_step(y_step)
        .x_origin(x0 - 0.5 * x_step)
        .y_origin(y0 - 0.5 * y_step)
        .lines(&values, &[0.0])?;
    let rings = lines.into_iter().flat_map(|line| line.into_inner().0.0);
    let rings = rings.filter(|ring| ring.0.iter().any(|p| p.x < 0.0));
    Ok(rings.map(|ring| ring.0.into_iter().map(|p| (p.x, p.y)).collect()).collect())
}

/// The pieces of a closed line with y ≥ 0.
fn above(ring: &[Point]) -> Vec<Vec<Point>> {
    let mut pieces: Vec<Vec<Point>> = vec![Vec::new()];
    for &(x, y) in ring {
        match pieces.last_mut() {
            Some(piece) if y >= 0.0 => piece.push((x, y)),
            Some(piece) if piece.is_empty() => {}
            _ => pieces.push(Vec::new()),
        }
    }
    pieces.retain(|piece| piece.len() > 1);
    pieces
}

impl Picture for Figure {
    fn size(&self) -> (u32, u32) {
        let strips: i32 = self.strips.iter().map(|strip| self.strip_height(strip).1).sum();
        let title = if self.strips.is_empty() { 0 } else { HEAD };
        let rows: i32 = self.rows().iter().map(|(_, _, height)| height).sum();
        (WIDTH as u32, (HEAD + rows + title + strips) as u32)
    }

    fn draw<B: DrawingBackend>(&self, area: &DrawingArea<B, Shift>, k: f64) -> Outcome
    where
        B::ErrorType: 'static,
    {
        let style = Style { k };
        area.fill(&WHITE)?;
        let title = "stable where |R(hλ)| ≤ 1, and how far along the real axis; the lower half \
                     is the mirror image";
        let at = |y| (style.length(16), style.length(y));
        area.draw(&Text::new(title, at(14), style.text(18)))?;
        let (_, mut rest) = area.split_vertically(style.length(HEAD));
        for (row, legend, height) in self.rows() {
            let (here, after) = rest.split_vertically(style.length(height));
            for (cell, Region { panel, bounds }) in here.split_evenly((1, COLUMNS)).iter().zip(row)
            {
                let axes = equal(panel.room((CELL, height), legend), *bounds);
                panel.draw(cell, style, legend, axes)?;
            }
            rest = after;
        }
        let Some(all) = self.strip_box() else { return Ok(()) };
        let title = format!("{}, all in one scale", Group::Stabilised.title());
        rest.draw(&Text::new(title, at(14), style.text(18)))?;
        rest = rest.split_vertically(style.length(HEAD)).1;
        for strip in &self.strips {
            let (height, whole) = self.strip_height(strip);
            let (here, after) = rest.split_vertically(style.length(whole));
            let legend = strip.panel.legend_height(WIDTH);
            let (width, _) = strip.panel.room((WIDTH, whole), legend);
            let axes = equal((width, height), Bounds { top: strip.bounds.top, ..all });
            strip.panel.draw(&here, style, legend, axes)?;
            rest = after;
        }
        Ok(())
    }
}

/// Axes with as many pixels to one as to the other, which is widened to the
/// left or to the top for that.
fn equal((width, height): (f64, f64), Bounds { left, right, top }: Bounds) -> (Axis, Axis) {
    let unit = ((right - left) / width).max(top / height); // per pixel
    let (left, top) = (right - unit * width, unit * height);
    let labels = |pixels: f64, room: f64| (pixels / room) as usize + 1;
    (Axis::linear(left, right, labels(width, 45.0)), Axis::linear(0.0, top, labels(height, 32.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plot::canvas;

    #[test]
    fn every_point_of_a_contour_has_a_growth_of_one() {
        for tableau in Tableau::all() {
            let around = extent(&tableau).unwrap();
            assert!(around.left <= -tableau.real_limit(), "{tableau}: {around:?}");
            let rings = rings(&tableau, around).unwrap();
            let points: Vec<Point> = rings.into_iter().flatten().filter(|p| p.1 > 0.0).collect();
            assert!(points.len() > 100, "{tableau}");
            for (x, y) in &points {
                let (re, im) = tableau.stability(*x, *y);
                let growth = re.hypot(im);
                assert!((growth - 1.0).abs() < 0.02, "{tableau}: {growth} at {x} + {y}i");
            }
            let left = points.iter().fold(0.0, |least: f64, p| least.min(p.0));
            let cell = (around.right - around.left) / GRID as f64;
            assert!(left < -tableau.real_limit() + 2.0 * cell, "{tableau}: {left}");
        }
    }

    #[test]
    fn eulers_region_is_a_disc() {
        let euler = Tableau::euler();
        let rings = rings(&euler, extent(&euler).unwrap()).unwrap();
        assert_eq!(rings.len(), 1);
        for (x, y) in rings[0].iter().filter(|p| p.1 > 0.01) {
            assert!(((x + 1.0).hypot(*y) - 1.0).abs() < 1e-4, "{x} {y}");
        }
    }

    #[test]
    fn axes_have_one_scale() {
        let (x, y) = equal((300.0, 150.0), Bounds { left: -2.0, right: 1.0, top: 3.0 });
        assert_eq!(((x.high - x.low) / 300.0, x.high), (3.0 / 150.0, 1.0));
        assert_eq!((y.low, y.high), (0.0, 3.0));
        let (x, y) = equal((300.0, 300.0), Bounds { left: -5.0, right: 1.0, top: 1.0 });
        assert_eq!((x.low, x.high, y.high), (-5.0, 1.0, 6.0));
    }

    /// y_j = 2y_{j−1} − y_{j−2} + (2h/s²) f_{j−1}: R touches 1 up to 2s².
    fn chebyshev(s: usize) -> Tableau {
        let w = 1.0 / (s * s) as f64;
        let (mut before, mut now, mut rows) = (vec![0.0; s], vec![0.0; s], vec![vec![]]);
        now[0] = w;
        for j in 1..s {
            rows.push(now[..j].to_vec());
            let mut next: Vec<f64> = now.iter().zip(&before).map(|(y, x)| 2.0 * y - x).collect();
            next[j] += 2.0 * w;
            (before, now) = (now, next);
        }
        Tableau::new("chebyshev", &rows, &now, None).unwrap()
    }

    #[test]
    fn long_intervals_have_strips_of_their_own() {
        let long = || Entry::new(chebyshev(10).into()).unwrap();
        let euler = || Entry::new(kutta::Method::euler()).unwrap();
        for (entries, panels, strips) in [
            (vec![], 0, 0),
            (vec![euler()], 1, 0),
            (vec![long()], 0, 1),
            (vec![long(), euler()], 1, 1),
        ] {
            let figure = Figure::new(&entries).unwrap();
            assert_eq!((figure.panels.len(), figure.strips.len()), (panels, strips));
            for strip in &figure.strips {
                let Bounds { left, right, top } = strip.bounds;
                assert!(left < -200.0 && left > -220.0 && right < 10.0, "{left} {right}");
                assert!((1.0..20.0).contains(&top), "{top}");
            }
            let text = String::from_utf8(canvas::to_svg(&figure).unwrap()).unwrap();
            assert!(text.trim_end().ends_with("</svg>") && !text.contains("NaN"));
        }
    }
}
