//! Methods in JSON: what good files give, and what is said of bad ones.

use std::fs;

use kutta::{Method, Tableau};

/// Heun's third-order method, to be broken one piece at a time.
const GOOD: &str = r#"{
  "name": "mine",
  "source": "me",
  "a": [[], ["1/3"], [0, "2/3"]],
  "b": [0.25, 0, 0.75],
  "b_hat": [0.5, 0, 0.5],
  "c": [0, "1/3", "2/3"]
}"#;

fn messages(text: &str) -> Vec<String> {
    match Tableau::from_json(text) {
        Ok(tableau) => panic!("{tableau} was taken: {text:.200}"),
        Err(error) => error.to_string().lines().map(str::to_owned).collect(),
    }
}

/// Every line of the message has all the words of its fault, and no line is
/// left over.
fn expect(text: &str, faults: &[&[&str]]) {
    let lines = messages(text);
    assert_eq!(lines.len(), faults.len(), "{text:.300}: {lines:#?}");
    for (line, words) in lines.iter().zip(faults) {
        for word in *words {
            assert!(line.contains(word), "{line:?} lacks {word:?}");
        }
    }
}

/// The good file with one piece replaced.
fn broken(piece: &str, by: &str) -> String {
    assert_eq!(GOOD.matches(piece).count(), 1, "{piece}");
    GOOD.replace(piece, by)
}

fn bits(tableau: &Tableau) -> Vec<u64> {
    let entries = tableau.rows().iter().flatten().chain(tableau.b()).chain(tableau.c());
    entries.chain(tableau.b_hat().unwrap_or_default()).map(|x| x.to_bits()).collect()
}

fn same(read: &Tableau, named: &Tableau) {
    assert_eq!(read, named);
    assert_eq!(bits(read), bits(named), "{named}");
}

#[test]
fn every_named_method_reads_back_to_the_same_bits() {
    for method in Method::all() {
        let tableau = method.tableau();
        same(&Tableau::from_json(&tableau.to_json()).unwrap(), tableau);
    }
    // As few digits as say it.
    assert!(Tableau::heun3().to_json().contains("[0.3333333333333333],\n"));
    // What a name may hold, and the sign of a zero.
    let odd = Tableau::new("\"\\\n\u{1}é", &[vec![], vec![-0.0]], &[1.0, -0.0], None).unwrap();
    same(&Tableau::from_json(&odd.to_json()).unwrap(), &odd);
}

#[test]
fn fractions_are_the_named_methods_own() {
    let dp5 = r#"{
      "name": "dp5",
      "source": "Dormand, Prince, J. Comput. Appl. Math. 6, 1980",
      "c": [0, "1/5", "3/10", "4/5", "8/9", 1, 1],
      "b_hat": ["5179/57600", 0, "7571/16695", "393/640", "-92097/339200", "187/2100", "1/40"],
      "b": ["35/384", 0, "500/1113", "125/192", "-2187/6784", "11/84", 0],
      "a": [[],
            ["1/5"],
            ["3/40", "9/40"],
            ["44/45", "-56/15", "32/9"],
            ["19372/6561", "-25360/2187", "64448/6561", "-212/729"],
            ["9017/3168", "-355/33", "46732/5247", "49/176", "-5103/18656"],
            ["35/384", 0, "500/1113", "125/192", "-2187/6784", "11/84"]]
    }"#;
    let read = Tableau::from_json(dp5).unwrap();
    same(&read.clone().with_source(Tableau::dp5().source()), &Tableau::dp5());
    assert_eq!(read.source(), "Dormand, Prince, J. Comput. Appl. Math. 6, 1980");
    assert!(read.first_same_as_last());
}

#[test]
fn entries_may_be_written_in_many_ways() {
    let good = Tableau::from_json(GOOD).unwrap();
    assert_eq!((good.name(), good.source(), good.order()), ("mine", "me", 3));
    // From here on as full rows, without what need not be there, after a byte
    // order mark, with a key in escapes, and with numbers in every form.
    let text = "\u{feff}{\"\\u0061\": [[0, 0, 0.0], [\" 1 / 3 \", 0, -0], \
                [0e3, \"6.6666666666666666e-1\", 0]], \"b\": [\"0.25\", \"0/1\", 7.5E-1], \
                \"name\": \"mine\", \"c\": null, \"b_hat\": null, \"source\": null}";
    let other = Tableau::from_json(text).unwrap();
    assert_eq!((other.rows(), other.b()), (good.rows(), good.b()));
    assert_eq!((other.b_hat(), other.source()), (None, "user-defined"));
    // NaN inside of text is text.
    let text = broken("\"me\"", r#""NaN, \" Infinity""#);
    assert_eq!(Tableau::from_json(&text).unwrap().source(), "NaN, \" Infinity");
}

#[test]
fn implicit_methods_are_refused_entry_by_entry() {
    let row = |rows: &str| broken("[[], [\"1/3\"], [0, \"2/3\"]]", rows);
    expect(
        &row(r#"[["1/2"], ["-1/6", "1/2"], [0, "1/6", "1/2"]]"#),
        &[
            &["row 1, column 1 of a", "0.5", "explicit"],
            &["row 2, column 2 of a", "0.5", "explicit"],
            &["row 3, column 3 of a", "0.5", "explicit"],
        ],
    );
    expect(
        &row(r#"[[0, 0, 1], ["1/3", 0, 2], [0, "2/3", 0]]"#),
        &[&["row 1, column 3 of a", "1.0"], &["row 2, column 3 of a", "2.0"]],
    );
    let midpoint = r#"{"name": "gauss", "a": [[0.5]], "b": [1]}"#;
    expect(midpoint, &[&["row 1, column 1 of a in tableau `gauss`", "explicit"]]);
}

#[test]
fn inconsistent_sums_are_refused() {
    let c = broken("[0, \"1/3\", \"2/3\"]", "[0.125, \"1/3\", 0.6666]");
    expect(
        &c,
        &[
            &["row 1 of a", "sums to 0.0", "c_1 = 0.125"],
            &["row 3 of a", "sums to 0.666", "c_3 = 0.6666"],
        ],
    );
    expect(&broken("0.75", "0.7"), &[&["b of tableau `mine`", "sums to 0.95", "not to 1"]]);
    expect(&broken("[0.5, 0, 0.5]", "[0.5, 0, 0.25]"), &[&["b_hat of", "sums to 0.75"]]);
    expect(&broken("[0.5, 0, 0.5]", "[0.25, 0, 0.75]"), &[&["b_hat", "equal b"]]);
    let lower =
        |b_low: &str| broken("[0.5, 0, 0.5]", &format!("[0.5, 0, 0.5], \"b_low\": {b_low}"));
    expect(&lower("[1, 0, 0.5]"), &[&["b_low of", "sums to 1.5"]]);
    expect(&lower("[1, 0]"), &[&["b_low"]]);
    let alone = r#"{"name": "x", "a": [[], [1]], "b": [0.5, 0.5], "b_low": [1, 0]}"#;
    expect(alone, &[&["b_low", "no b_hat"]]);
}

#[test]
fn stages_are_counted() {
    expect(r#"{"name": "none", "a": [], "b": []}"#, &[&["`none` has 0 stages", "1 to 64"]]);
    let chain = |s: usize| {
        let row = |i: usize| format!("[{}]", vec![format!("\"1/{s}\""); i].join(","));
        let rows: Vec<String> = (0..s).map(row).collect();
        format!(r#"{{"name": "chain", "a": [{}], "b": {}}}"#, rows.join(","), row(s))
    };
    expect(&chain(65), &[&["`chain` has 65 stages", "1 to 64"]]);
    assert_eq!(Tableau::from_json(&chain(64)).unwrap().stages(), 64);
}

#[test]
fn what_is_no_number_is_quoted_as_it_stands() {
    for entry in [
        "\"NaN\"",
        "NaN",
        "nan",
        "Infinity",
        "-Infinity",
        "-inf",
        "1e400",
        "\"1e400\"",
        "1e9",
        "-1000000.1",
        "\"1/0\"",
        "\"0/0\"",
        "\"1/inf\"",
        "\"1/2/3\"",
        "\"\"",
        "\"one\"",
        "null",
        "true",
        "[0.5]",
        "{\"p\":1}",
    ] {
        let faults: [(&str, &str, &str); 4] = [
            ("[\"1/3\"]", "[#]", "row 2, column 1 of a"),
            ("[0.25, 0, 0.75]", "[0.25, 0, #]", "row 1, column 3 of b in"),
            ("[0.5, 0, 0.5]", "[0.5, #, 0.5]", "row 1, column 2 of b_hat in"),
            ("[0, \"1/3\", \"2/3\"]", "[0, \"1/3\", #]", "row 3, column 1 of c in"),
        ];
        let mut all = GOOD.to_owned();
        for (piece, by, place) in faults {
            let by = by.replace('#', entry);
            expect(&broken(piece, &by), &[&[place, &format!("is {entry};"), "finite"]]);
            all = all.replace(piece, &by);
        }
        // And all four together.
        expect(&all, &faults.map(|(_, _, place)| [place]).each_ref().map(|words| &words[..]));
    }
    assert!(
        Tableau::from_json(&broken("[\"1/3\"]", "[1.5]").replace(", \"1/3\",", ", 1.5,")).is_ok()
    );
}

#[test]
fn lengths_are_counted() {
    let rows = "[[], [\"1/3\"], [0, \"2/3\"]]";
    expect(&broken(rows, "[[], [\"1/3\"]]"), &[&["2 rows in a for 3 stages"]]);
    expect(
        &broken(rows, "[[], [], [0, \"2/3\", 0, 0]]"),
        &[&["row 2 of a", "0 entries", "the 1 left"], &["row 3 of a", "4 entries", "the 2 left"]],
    );
    expect(&broken("[0.5, 0, 0.5]", "[0.5, 0.5]"), &[&["b_hat of", "2 entries for 3 stages"]]);
    expect(
        &broken("[0, \"1/3\", \"2/3\"]", "[0, \"1/3\", \"2/3\", 1]"),
        &[&["c of", "4 entries for 3 stages"]],
    );
    // The stages are as many as weights in b: with one less all else is wrong.
    expect(
        &broken("[0.25, 0, 0.75]", "[0.25, 0.75]"),
        &[&["3 rows in a for 2"], &["b_hat", "3 entries for 2"], &["c of", "3 entries for 2"]],
    );
}

#[test]
fn fields_are_known_by_line_and_column() {
    expect(
        &broken("  \"source\"", "  \"sauce\": \"é\", \"b\": [1],\n\"source\""),
        &[
            &["line 3, column 3", "`sauce`", "name, source, a, b, b_hat, b_low, c"],
            &["line 6, column 3", "`b` is there already, in line 3"],
            // The first b counts: what has other lengths is wrong beside it.
            &["3 rows in a for 1"],
            &["b_hat", "3 entries for 1"],
            &["c of", "3 entries for 1"],
        ],
    );
    // Columns are characters: é is one, and before the second key.
    expect(
        &broken("\"source\": \"me\"", "\"source\": \"é\", \"a \": 1"),
        &[&["line 3, column 18", "`a `"]],
    );
    expect(
        &broken("\"c\": [0, \"1/3\", \"2/3\"]", "\"name\": \"other\",\n \"name\": 3"),
        &[
            &["line 7, column 3", "`name` is there already, in line 2"],
            &["line 8, column 2", "`name` is there already, in line 2"],
        ],
    );
    expect(
        "{}",
        &[
            &["`name` is missing", "text in double quotes"],
            &["`a` is missing", "rows"],
            &["`b` is missing", "numbers"],
        ],
    );
}

#[test]
fn fields_of_the_wrong_kind_are_shown() {
    expect(
        r#"{"name": 3, "source": ["me"],
            "a": {"1": 2}, "b": "0.5", "b_hat": 0.25, "c": NaN}"#,
        &[
            &["line 1, column 10", "`name` is 3", "double quotes"],
            &["line 1, column 23", "`source` is [\"me\"]"],
            &["line 2, column 18", "`a` is {\"1\": 2}", "list of rows"],
            &["line 2, column 33", "`b` is \"0.5\"", "list of numbers"],
            &["line 2, column 49", "`b_hat` is 0.25"],
            &["line 2, column 60", "`c` is NaN"],
        ],
    );
    // Rows as well; what they would have summed to is not asked.
    expect(
        &broken("[[], [\"1/3\"], [0, \"2/3\"]]", "[[],\n 0.5, \"1/2\"]"),
        &[&["line 5, column 2", "row 2 of `a` is 0.5"], &["line 5, column 7", "row 3 of `a`"]],
    );
}

#[test]
fn syntax_has_its_line_and_column() {
    for (piece, by, place) in [
        ("0.75]", "0.75,]", "line 5, column 23"),
        ("0.25, 0,", "0.25 0,", "line 5, column 14"),
        ("[\"1/3\"]", "[1/3]", "line 4, column 15"),
        ("\"me\"", "'me'", "line 3, column 13"),
        ("\"me\",", "\"é\" x", "line 3, column 17"),
        ("\"me\",", "\"me\", // a comment", "line 3, column 19"),
        ("0.75", "+0.75", "line 5, column 18"),
        ("0.75", ".75", "line 5, column 18"),
        ("0.75", "Nano", "line 5, column 18"),
    ] {
        expect(&broken(piece, by), &[&[place, "double quotes"]]);
    }
    expect("", &[&["line 1, column 1"]]);
    expect(&GOOD[..GOOD.len() - 1], &[&["line 8, column 1", "EOF"]]);
    expect(&format!("{GOOD} {GOOD}"), &[&["line 8, column 3", "trailing"]]);
    for text in ["[]", "3", "\"rk4\"", "null"] {
        expect(text, &[&["line 1", "an object with the fields name, a and b"]]);
    }
}

#[test]
fn all_faults_are_listed_each_on_its_own_line_after_the_files_name() {
    let text = r#"{
  "name": "bad\nname",
  "mood": "good",
  "a": [["1/2"], [NaN, 0], [0, "two"]],
  "b": [0.25, 1e9, 0.75],
  "b": [1],
  "b_hat": [0.5, 0.25, 0.5],
  "c": [0, 1e400, "2/3"]
}"#;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("bad.json");
    fs::write(&path, text).unwrap();
    let message = Method::load(path.to_str().unwrap()).unwrap_err().to_string();
    let expected = [
        "line 3, column 3: there is no field `mood`",
        "line 6, column 3: field `b` is there already, in line 5",
        "row 1, column 1 of a in tableau `bad\\nname` is 0.5; it must be zero",
        "row 2, column 1 of a in tableau `bad\\nname` is NaN",
        "row 2 of a in tableau `bad\\nname` has 2 entries",
        "row 3, column 2 of a in tableau `bad\\nname` is \"two\"",
        "row 1, column 2 of b in tableau `bad\\nname` is 1e9",
        "b_hat of tableau `bad\\nname` sums to 1.25",
        "row 2, column 1 of c in tableau `bad\\nname` is 1e400",
    ];
    assert_eq!(message.lines().count(), expected.len(), "{message}");
    let start = format!("{}: ", path.display());
    for expected in expected {
        let found = message.lines().any(|line| line.starts_with(&format!("{start}{expected}")));
        assert!(found, "no line {expected:?} in\n{message}");
    }
}

#[test]
fn files_that_cannot_be_read_say_why() {
    let folder = tempfile::tempdir().unwrap();
    let load = |name: &str, bytes: Option<&[u8]>| {
        let path = folder.path().join(name);
        if let Some(bytes) = bytes {
            fs::write(&path, bytes).unwrap();
        }
        let message = Tableau::load(&path).unwrap_err().to_string();
        assert!(message.starts_with(&format!("{}: ", path.display())), "{message}");
        assert_eq!(message.lines().count(), 1, "{message}");
        message
    };
    assert!(load("none.json", None).contains("cannot be read"));
    assert!(load("bytes.json", Some(b"{\n \"\xff\xfe")).contains("line 2, column 3"));
    let long = load("long.json", Some(&vec![b' '; (1 << 20) + 1]));
    assert!(long.contains("1048577 bytes") && long.contains("1048576"), "{long}");
    assert!(Method::load("rk5").unwrap_err().to_string().contains("ssprk33"));
    #[cfg(unix)]
    assert!(Tableau::load("/dev/zero").unwrap_err().to_string().contains("1048577 bytes"));
}

/// Nothing here may overflow the stack, take minutes, or end in a message of
/// gigabytes.
#[test]
fn monstrous_texts_are_refused_in_short() {
    let start = std::time::Instant::now();
    let most = 1 << 20;
    let half = most / 2 - 100;
    let deep = format!("{}{}", "[".repeat(half), "]".repeat(half));
    let name = "n".repeat(half);
    let rows = "0,".repeat(half / 2);
    for text in [
        deep.clone(),
        "[".repeat(most),
        "{\"a\":".repeat(most / 5),
        broken("[\"1/3\"]", &format!("[{deep}]")),
        broken("[\"1/3\"]", &deep),
        broken("\"me\"", &deep),
        broken("0.75", &"9".repeat(half)),
        broken("0.75", &format!("\"{}\"", "/".repeat(half))),
        broken("\"me\"", &format!("\"me\", \"{name}\": 1")),
        broken("\"mine\"", &format!("\"{name}\"")).replace("0,", "null,"),
        broken("[[], [\"1/3\"], [0, \"2/3\"]]", &format!("[{rows}0]")),
        broken("[0.25, 0, 0.75]", &format!("[{rows}0]")),
        broken("[\"1/3\"]", &format!("[{rows}0]")),
        broken("[0.5, 0, 0.5]", &format!("[{}0]", "NaN,".repeat(half / 4))),
        " ".repeat(most + 1),
        GOOD.repeat(most / GOOD.len() + 1),
    ] {
        let length: usize = messages(&text).iter().map(String::len).sum();
        assert!(length < 100_000, "a message of {length} bytes for {text:.60}");
    }
    // Nothing bounds these but the text itself.
    let unknown = format!("{{{}\"\": 0}}", "\"\":0,".repeat(most / 6));
    assert_eq!(messages(&unknown).len(), most / 6 + 1 + 3);
    let full = format!("[{}]", vec!["NaN"; 64].join(","));
    let full = format!(
        "{{\"name\": \"full\", \"a\": [{}], \"b\": {full}}}",
        vec![full.as_str(); 64].join(",")
    );
    assert_eq!(messages(&full).len(), 64 * 65);
    assert!(start.elapsed().as_secs() < 20, "{:?}", start.elapsed());
}
