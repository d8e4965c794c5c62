//! Order conditions over rooted trees.
//!
//! A method has order p if Σ_i b_i Φ_i(t) = 1/γ(t) for every rooted tree t of
//! at most p nodes (Butcher 1963; Hairer, Nørsett, Wanner I, theorem II.2.13).
//! For a tree whose root carries the subtrees t₁ … t_m,
//!
//! ```text
//! Φ_i(t) = Π_k Σ_j a_ij Φ_j(t_k),    γ(t) = |t| Π_k γ(t_k)
//! ```
//!
//! with Φ_i = 1 and γ = 1 for the single node.

use std::sync::LazyLock;

use super::{Tableau, dot};

/// The highest order that is looked for.
pub const MAX_ORDER: usize = 8;

/// A condition holds if it is met to this fraction of the sum of the sizes of
/// its terms: rounding of coefficients and sums stays well below it, and the
/// error terms of published methods well above.
const TOLERANCE: f64 = 1e-12;

/// Trees to one node more than [`MAX_ORDER`], so that a method of that order
/// can be seen to fail at the next.
pub(super) static TREES: LazyLock<Vec<RootedTree>> = LazyLock::new(|| rooted_trees(MAX_ORDER + 1));

/// A rooted tree, its subtrees as indices into the list it stands in.
pub(super) struct RootedTree {
    pub(super) nodes: usize,
    /// γ
    pub(super) density: f64,
    pub(super) subtrees: Vec<usize>,
}

/// All rooted trees of up to `nodes` nodes, the smaller ones first.
fn rooted_trees(nodes: usize) -> Vec<RootedTree> {
    let mut trees = Vec::new();
    for n in 1..=nodes {
        let mut forests = Vec::new();
        collect_forests(&trees, n - 1, trees.len(), &mut Vec::new(), &mut forests);
        for subtrees in forests {
            let density = subtrees.iter().map(|&k| trees[k].density).product::<f64>() * n as f64;
            trees.push(RootedTree { nodes: n, density, subtrees });
        }
    }
    trees
}

/// Every multiset of trees with `nodes` nodes in all; indices never grow along
/// it, so each comes once.
fn collect_forests(
    trees: &[RootedTree],
    nodes: usize,
    end: usize,
    chosen: &mut Vec<usize>,
    forests: &mut Vec<Vec<usize>>,
) {
    if nodes == 0 {
        forests.push(chosen.clone());
        return;
    }
    for (k, tree) in trees[..end].iter().enumerate().take_while(|(_, t)| t.nodes <= nodes) {
        chosen.push(k);
        collect_forests(trees, nodes - tree.nodes, k + 1, chosen, forests);
        chosen.pop();
    }
}

/// One order condition, and how far it is from holding.
struct Condition {
    residual: f64,
    /// The sum of the sizes of the terms.
    scale: f64,
}

impl Condition {
    fn holds(&self) -> bool {
        self.residual <= TOLERANCE * self.scale
    }
}

/// The conditions of exactly order p for the weights b.
fn conditions(rows: &[Vec<f64>], b: &[f64], p: usize) -> Vec<Condition> {
    let sizes: Vec<Vec<f64>> = rows.iter().map(|r| r.iter().map(|x| x.abs()).collect()).collect();
    let (phi, phi_sizes) = (stage_weights(rows, p), stage_weights(&sizes, p));
    let of_order = |(_, tree): &(usize, &RootedTree)| tree.nodes == p;
    TREES
        .iter()
        .enumerate()
        .filter(of_order)
        .map(|(k, tree)| Condition {
            residual: (dot(b, &phi[k]) - 1.0 / tree.density).abs(),
            scale: b.iter().zip(&phi_sizes[k]).map(|(b, phi)| (b * phi).abs()).sum::<f64>()
                + 1.0 / tree.density,
        })
        .collect()
}

/// Φ_i(t) for each tree of up to p nodes and each stage.
fn stage_weights(rows: &[Vec<f64>], p: usize) -> Vec<Vec<f64>> {
    let mut weights: Vec<Vec<f64>> = Vec::new();
    let mut times_a: Vec<Vec<f64>> = Vec::new();
    for tree in TREES.iter().take_while(|t| t.nodes <= p) {
        let phi: Vec<f64> = (0..rows.len())
            .map(|i| tree.subtrees.iter().map(|&k| times_a[k][i]).product())
            .collect();
        times_a.push(rows.iter().map(|row| dot(row, &phi)).collect());
        weights.push(phi);
    }
    weights
}

fn order(rows: &[Vec<f64>], b: &[f64]) -> usize {
    (1..=MAX_ORDER).take_while(|&p| conditions(rows, b, p).iter().all(Condition::holds)).count()
}

impl Tableau {
    /// The order p of the method: the error of one step is O(h^{p+1}).
    ///
    /// Computed from the order conditions of all rooted trees of up to
    /// [`MAX_ORDER`] nodes (1, 1, 2, 4, 9, 20, 48, 115 per
    /// order): Σ_i b_i Φ_i(t) = 1/γ(t). Source: Butcher 1963; Hairer, Nørsett,
    /// Wanner I, theorem II.2.13.
    ///
    /// ```
    /// assert_eq!(kutta::Tableau::ralston4().order(), 4);
    /// ```
    pub fn order(&self) -> usize {
        order(&self.rows, &self.b)
    }

    /// The order of the embedded method (A, b̂), if there is one.
    ///
    /// ```
    /// use kutta::Tableau;
    /// assert_eq!(Tableau::midpoint().embedded_order(), None);
    /// let pair = Tableau::midpoint().with_embedded(&[1.0, 0.0])?;
    /// assert_eq!(pair.embedded_order(), Some(1));
    /// # Ok::<(), kutta::Error>(())
    /// ```
    pub fn embedded_order(&self) -> Option<usize> {
        self.b_hat.as_deref().map(|b_hat| order(&self.rows, b_hat))
    }

    /// The order of the method (A, b_low), if there is one.
    pub fn lower_order(&self) -> Option<usize> {
        self.b_low().map(|b| order(self.rows(), b))
    }

    /// The largest |Σ_i b_i Φ_i(t) − 1/γ(t)| over the trees of exactly p nodes;
    /// `None` outside 1 ≤ p ≤ [`MAX_ORDER`] + 1.
    ///
    /// ```
    /// let euler = kutta::Tableau::euler();
    /// assert_eq!(euler.order_residual(1), Some(0.0));
    /// assert_eq!(euler.order_residual(2), Some(0.5)); // Σ b_i c_i = 0, not 1/2
    /// ```
    pub fn order_residual(&self, p: usize) -> Option<f64> {
        let known = (1..=MAX_ORDER + 1).contains(&p);
        known.then(|| {
            conditions(&self.rows, &self.b, p).iter().fold(0.0, |max, c| c.residual.max(max))
        })
    }

    /// Computes [`order_residual`](Self::order_residual) for the embedded weights;
    /// `None` also where there are none.
    pub fn embedded_order_residual(&self, p: usize) -> Option<f64> {
        let known = (1..=MAX_ORDER + 1).contains(&p);
        self.b_hat.as_deref().filter(|_| known).map(|b_hat| {
            conditions(&self.rows, b_hat, p).iter().fold(0.0, |max, c| c.residual.max(max))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn factorial(n: usize) -> f64 {
        (1..=n).map(|k| k as f64).product()
    }

    /// Number of orderings of the nodes' labels that leave the tree the same.
    fn symmetry(trees: &[RootedTree], tree: &RootedTree) -> f64 {
        let mut sigma = 1.0;
        for equal in tree.subtrees.chunk_by(|x, y| x == y) {
            sigma *=
                symmetry(trees, &trees[equal[0]]).powi(equal.len() as i32) * factorial(equal.len());
        }
        sigma
    }

    #[test]
    fn trees_are_counted_right() {
        // OEIS A000081.
        let counts = [1, 1, 2, 4, 9, 20, 48, 115, 286];
        for (n, &count) in counts.iter().enumerate() {
            assert_eq!(TREES.iter().filter(|t| t.nodes == n + 1).count(), count, "order {}", n + 1);
        }
    }

    #[test]
    fn densities_and_symmetries_fit_cayleys_formulas() {
        // n!/(σγ) counts the monotone labellings of a tree, (n−1)! over all
        // trees of n nodes; n!/σ counts all labellings, n^{n−1} over all.
        for n in 1..=MAX_ORDER + 1 {
            let (mut monotone, mut all) = (0.0, 0.0);
            for tree in TREES.iter().filter(|t| t.nodes == n) {
                let sigma = symmetry(&TREES, tree);
                monotone += factorial(n) / (sigma * tree.density);
                all += factorial(n) / sigma;
            }
            assert!((monotone - factorial(n - 1)).abs() < 1e-9 * monotone, "order {n}");
            assert!((all - (n as f64).powi(n as i32 - 1)).abs() < 1e-9 * all, "order {n}");
        }
    }

    #[test]
    fn bogacki_shampine_is_3_2() {
        // Bogacki, Shampine 1989: a pair with unequal orders and a stage that
        // only the embedded method weighs.
        let a = [vec![], vec![0.5], vec![0.0, 0.75], vec![2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0]];
        let b = [2.0 / 9.0, 1.0 / 3.0, 4.0 / 9.0, 0.0];
        let b_hat = [7.0 / 24.0, 0.25, 1.0 / 3.0, 0.125];
        let pair = Tableau::new("bs32", &a, &b, None).unwrap().with_embedded(&b_hat).unwrap();
        assert_eq!((pair.order(), pair.embedded_order()), (3, Some(2)));
        assert!(pair.first_same_as_last());
        assert!(pair.order_residual(4).unwrap() > 1e-3);
        assert!(pair.embedded_order_residual(3).unwrap() > 1e-3);
    }

    #[test]
    fn high_orders_are_told_apart() {
        // Extrapolated midpoint rules (Gragg 1965; Hairer, Nørsett, Wanner I,
        // II.9): n₁ … n_k substeps give order 2k without a table to trust.
        for (k, substeps) in [(2, [2, 4].as_slice()), (3, &[2, 4, 6]), (4, &[2, 4, 6, 8])] {
            let method = extrapolated_midpoint(substeps);
            assert_eq!(method.order(), 2 * k);
            assert!(method.order_residual(2 * k + 1).unwrap() > 1e-8);
        }
        assert_eq!(Tableau::rk4().order_residual(0), None);
        assert_eq!(Tableau::rk4().order_residual(MAX_ORDER + 2), None);
    }

    /// y_{m+1} = y_{m−1} + 2h/n f(y_m), started by Euler, with n even; then
    /// polynomial extrapolation in (h/n)².
    fn extrapolated_midpoint(substeps: &[usize]) -> Tableau {
        let square = |n: usize| (n * n) as f64;
        let (mut rows, mut b) = (vec![vec![]], vec![0.0]); // stage 0 = θ_n, shared
        let total = 1 + substeps.iter().map(|n| n - 1).sum::<usize>();
        b.resize(total, 0.0);
        for &n in substeps {
            let weight: f64 = substeps
                .iter()
                .filter(|&&m| m != n)
                .map(|&m| square(n) / (square(n) - square(m)))
                .product();
            let h = 1.0 / n as f64;
            let (mut before, mut now) = (vec![0.0; total], vec![0.0; total]);
            now[0] = h;
            let mut stage_of_now = 0;
            for _ in 1..n {
                stage_of_now = rows.len();
                rows.push(now[..stage_of_now].to_vec());
                let mut next = before;
                next[stage_of_now] += 2.0 * h;
                (before, now) = (now, next);
            }
            assert!(stage_of_now > 0);
            for (b, x) in b.iter_mut().zip(&now) {
                *b += weight * x;
            }
        }
        Tableau::new("extrapolated midpoint", &rows, &b, None).unwrap()
    }
}
