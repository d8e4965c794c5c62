//! All methods as text, in columns.

use kutta::Findings;
use kutta::findings::{Cost, decimals};

/// One line for each method.
pub fn table<'f>(findings: impl IntoIterator<Item = &'f Findings>) -> String {
    let words = |cost: &Cost| {
        [cost.words_bare, cost.words_guarded, cost.words_unfused, cost.vectors]
            .map(|count| count.to_string())
    };
    let none = || std::array::from_fn(|_| "–".to_owned());
    let row = |f: &Findings| {
        let head = [
            f.name.clone(),
            f.stages.to_string(),
            f.orders(),
            decimals(f.real_limit),
            decimals(f.imaginary_limit),
        ];
        let mut row = head.to_vec();
        row.extend(words(&f.fixed));
        row.extend(f.adaptive.as_ref().map_or_else(none, words));
        row.push(f.source.clone());
        row
    };
    let costs = ["bare", "guarded", "unfused", "vectors"];
    let head = ["method", "stages", "order", "real", "imaginary"];
    let head = head.into_iter().chain(costs).chain(costs).chain(["source"]);
    let mut rows: Vec<Vec<String>> = vec![head.map(str::to_owned).collect()];
    rows.extend(findings.into_iter().map(row));

    let columns = rows[0].len();
    let width = |j: usize| rows.iter().map(|row| row[j].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    // Over the words: for which steps they are.
    let before: usize = widths[..5].iter().map(|w| w + 2).sum();
    let fixed: usize = widths[5..9].iter().map(|w| w + 2).sum();
    text += &format!("{:before$}{:<fixed$}with error estimate\n", "", "words, steps of given size");
    for row in &rows {
        let mut line = format!("{:<1$}", row[0], widths[0] + 2);
        for j in 1..columns - 1 {
            line += &format!("{:>1$}  ", row[j], widths[j]);
        }
        line += &row[columns - 1];
        text += line.trim_end();
        text.push('\n');
    }
    text
}
