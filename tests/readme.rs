//! What README.md says of the methods is what the code computes.

#[path = "../examples/methods/readme.rs"]
mod readme;

const README: &str = include_str!("../README.md");

#[test]
fn the_table_of_methods_is_computed() {
    let updated = readme::updated(README).unwrap();
    assert!(
        updated == README,
        "run `cargo run --release --example methods -- --readme`; it should be\n{updated}"
    );
}

#[test]
fn a_table_that_is_not_up_to_date_is_seen() {
    for (right, wrong) in [
        ("| `rk4` | 4 | 4 | 2.7853 |", "| `rk4` | 4 | 4 | 2.785 |"),
        ("26 / 27 / 60, 6 | 32 / 34", "26 / 27 / 60, 6 | 33 / 34"),
        ("| `euler` | 1 |", "| `euler2` | 1 |"),
    ] {
        assert_eq!(README.matches(right).count(), 1, "{right}");
        let stale = README.replace(right, wrong);
        let updated = readme::updated(&stale).unwrap();
        assert!(updated != stale && updated == README, "{wrong} went unseen");
    }
    // What stands around the marks stays; and without one there is an error.
    let around = |text: &str| readme::updated(&format!("# A\n{text}# B\n"));
    let text = around(&format!("{}old\n{}", readme::START, readme::END)).unwrap();
    assert!(text.starts_with("# A\n<!--") && text.ends_with("-->\n# B\n"), "{text}");
    assert!(!text.contains("old") && text.contains("\n| `rk4` | 4 |"), "{text}");
    assert!(around(readme::START).unwrap_err().contains(readme::END.trim_end()));
    assert!(around(readme::END).unwrap_err().contains(readme::START.trim_end()));
}
