//! What README.md and docs/methods.md say of the methods is what the code computes. The
//! README's Rust is a doctest of the library.

#[path = "../examples/methods/readme.rs"]
mod readme;

use readme::{END, PAGES, Page, START};

const TEXTS: [&str; 2] = [include_str!("../README.md"), include_str!("../docs/methods.md")];

#[test]
fn the_tables_of_methods_are_computed() {
    for (page, text) in PAGES.iter().zip(TEXTS) {
        let updated = page.updated(text).unwrap();
        assert!(
            updated == text,
            "{}: run `cargo run --release --example methods -- --readme`; it should be\n{updated}",
            page.path
        );
    }
    let rows = |text: &str| text.lines().filter(|line| line.starts_with("| `")).count();
    let table = |text: &str| rows(text.split_once(START).unwrap().1.split_once(END).unwrap().0);
    assert_eq!(table(TEXTS[0]), 6);
    assert_eq!(table(TEXTS[1]), kutta::Method::all().len());
}

#[test]
fn a_table_that_is_not_up_to_date_is_seen() {
    for (page, text) in PAGES.iter().zip(TEXTS) {
        for (right, wrong) in [
            ("| `rk4` | 4 | 4 | 2.7853 |", "| `rk4` | 4 | 4 | 2.785 |"),
            ("26 / 27 / 60, 6 | 32 / 34", "26 / 27 / 60, 6 | 33 / 34"),
            ("| `euler` | 1 |", "| `euler2` | 1 |"),
        ] {
            assert_eq!(text.matches(right).count(), 1, "{right}");
            let stale = text.replace(right, wrong);
            let updated = page.updated(&stale).unwrap();
            assert!(updated != stale && updated == text, "{wrong} went unseen");
        }
    }
    // What stands around the marks stays; and without one there is an error.
    let around = |text: &str| PAGES[0].updated(&format!("# A\n{text}# B\n"));
    let text = around(&format!("{START}old\n{END}")).unwrap();
    assert!(text.starts_with("# A\n<!--") && text.ends_with("-->\n# B\n"), "{text}");
    assert!(!text.contains("old") && text.contains("\n| `rk4` | 4 |"), "{text}");
    assert!(around(START).unwrap_err().contains(END.trim_end()));
    assert!(around(END).unwrap_err().contains(START.trim_end()));
    let unknown = Page { path: "README.md", names: &["rk5"] };
    assert!(unknown.updated(&format!("{START}{END}")).unwrap_err().contains("rk5"));
}
