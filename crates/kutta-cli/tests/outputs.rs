//! What commands write: files that are whole or not there, where the options say.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use kutta_cli::output::Outputs;

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<_> =
        entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// What a path is refused with; nothing may be left beside it.
fn refused(path: &Path) -> String {
    match Outputs::default().file("--json", path) {
        Ok(_) => panic!("{} is taken", path.display()),
        Err(error) => error.to_string(),
    }
}

#[test]
fn trying_a_path_leaves_what_is_there() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.json");
    fs::write(&path, "before").unwrap();
    let made = fs::metadata(&path).unwrap().modified().unwrap();
    let mut outputs = Outputs::default();
    let output = outputs.file("--json", &path).unwrap();
    let new = outputs.folder("--out", &folder.path().join("x/y")).unwrap().file("b.svg").unwrap();
    assert_eq!(names(folder.path()), ["a.json", "x"]);
    assert_eq!(names(&folder.path().join("x/y")), [""; 0]);
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    assert_eq!(fs::metadata(&path).unwrap().modified().unwrap(), made);

    // What fails half-way leaves it too; and what works replaces it.
    let half = output.write(|out| {
        out.write_all(&[b'x'; 1 << 17])?;
        Err(io::Error::other("half-way"))
    });
    assert!(!half && fs::read_to_string(&path).unwrap() == "before");
    assert!(output.put("after") && new.put([1, 2]));
    assert_eq!(fs::read_to_string(&path).unwrap(), "after");
    assert_eq!(fs::read(new.path()).unwrap(), [1, 2]);
    assert_eq!(names(folder.path()), ["a.json", "x"]);
}

#[test]
fn missing_folders_are_said_by_name() {
    let folder = tempfile::tempdir().unwrap();
    let missing = folder.path().join("no");
    let message = refused(&missing.join("deeper/a.csv"));
    let said = format!("there is no folder `{}`", missing.display());
    assert!(message.contains(&said) && message.contains("--json"), "{message}");
    assert!(!missing.exists());

    let file = folder.path().join("file");
    fs::write(&file, "").unwrap();
    for path in [file.join("a.csv"), file.join("deeper/a.csv")] {
        let message = refused(&path);
        assert!(message.contains(&format!("`{}` is no folder", file.display())), "{message}");
    }
    for path in [file.clone(), file.join("deeper")] {
        let error = Outputs::default().folder("--out", &path).err().unwrap().to_string();
        assert!(error.contains(&format!("`{}` is a file", file.display())), "{error}");
        assert!(error.contains("--out"), "{error}");
    }
}

#[test]
fn only_regular_files_are_written() {
    let folder = tempfile::tempdir().unwrap();
    for (path, words) in [
        (folder.path().to_owned(), "is a folder"),
        (folder.path().join("new/"), "names no file"),
        (folder.path().join(".."), "is a folder"),
        (PathBuf::from(""), "names no file"),
    ] {
        let message = refused(&path);
        assert!(message.contains(words), "{message}");
    }
    assert_eq!(names(folder.path()), [""; 0]);
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_nothing_else_is_replaced() {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::os::unix::net::UnixListener;

    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("real")).unwrap();
    fs::write(at("real/old"), "before").unwrap();
    fs::set_permissions(at("real/old"), fs::Permissions::from_mode(0o640)).unwrap();
    // A link to a link, relative to where it lies; and one to nothing yet.
    symlink("real/old", at("first")).unwrap();
    symlink("first", at("second")).unwrap();
    symlink("real/new", at("third")).unwrap();
    let mut outputs = Outputs::default();
    for link in ["second", "third"] {
        assert!(outputs.file("--json", &at(link)).unwrap().put("after"));
        assert!(fs::symlink_metadata(at(link)).unwrap().is_symlink(), "{link}");
    }
    assert_eq!(names(&at("real")), ["new", "old"]);
    for file in ["new", "old"] {
        assert_eq!(fs::read_to_string(at("real").join(file)).unwrap(), "after");
    }
    assert_eq!(fs::metadata(at("real/old")).unwrap().permissions().mode() & 0o777, 0o640);

    symlink("b", at("a")).unwrap();
    symlink("a", at("b")).unwrap();
    symlink("real", at("folder")).unwrap();
    symlink("/dev/null", at("null")).unwrap();
    let fifo = at("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let _socket = UnixListener::bind(at("socket")).unwrap();
    for (name, words) in [
        ("a", "another one"),
        ("folder", "which is a folder"),
        ("null", "a link to `/dev/null`, which is a device"),
        ("fifo", "it is a named pipe"),
        ("socket", "it is a socket"),
    ] {
        let message = refused(&at(name));
        assert!(message.contains(words), "{name}: {message}");
    }
    let message = refused(Path::new("/dev/full"));
    assert!(message.contains("is a device"), "{message}");
    assert!(fs::symlink_metadata(fifo).unwrap().file_type().is_fifo());
}

#[test]
fn one_file_is_not_written_twice() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("sub")).unwrap();
    let mut outputs = Outputs::default();
    let out = outputs.folder("--out", folder.path()).unwrap();
    out.file("train.svg").unwrap();
    for name in ["train.svg", "sub/../train.svg"] {
        let twice = outputs.file("--json", &folder.path().join(name)).err().unwrap();
        assert!(twice.is::<kutta_cli::output::Usage>());
        let message = twice.to_string();
        assert!(message.contains("--json and --out both write"), "{message}");
    }
}

#[test]
fn names_left_by_another_process_are_passed_over() {
    let folder = tempfile::tempdir().unwrap();
    for number in 0..200 {
        let left = format!(".a.csv.{}-{number}.kutta-part", std::process::id());
        fs::write(folder.path().join(left), "").unwrap();
    }
    let path = folder.path().join("a.csv");
    assert!(Outputs::default().file("--csv", &path).unwrap().put("rows"));
    assert_eq!(fs::read_to_string(path).unwrap(), "rows");
    // As long as names can be.
    let path = folder.path().join("é".repeat(127));
    assert!(Outputs::default().file("--csv", &path).unwrap().put("rows"));
    assert_eq!(fs::read_to_string(path).unwrap(), "rows");
}

#[test]
fn rows_are_there_as_they_come() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.csv");
    fs::write(&path, "before").unwrap();
    let mut rows = Outputs::default().file("--csv", &path).unwrap().rows();
    assert_eq!(fs::read_to_string(&path).unwrap(), "before");
    let mut all = String::new();
    for row in ["step,h\n", "0,0.5\n", "1,0.25\n"] {
        rows.put(row);
        all += row;
        assert_eq!(fs::read_to_string(&path).unwrap(), all);
    }
    // Interrupted, it stays.
    drop(rows);
    assert_eq!(fs::read_to_string(&path).unwrap(), all);
    assert_eq!(names(folder.path()), ["a.csv"]);
    let mut rows = Outputs::default().file("--csv", &path).unwrap().rows();
    rows.put("new\n");
    assert!(rows.finish());
    assert_eq!(fs::read_to_string(&path).unwrap(), "new\n");
}

/// Who it is does not matter there: not even root makes files among processes.
#[cfg(target_os = "linux")]
#[test]
fn a_folder_that_takes_no_file_is_found_before_the_work() {
    let mut outputs = Outputs::default();
    let fault = outputs.file("--csv", Path::new("/proc/kutta.csv")).err().unwrap().to_string();
    assert!(fault.contains("--csv") && fault.contains("/proc/kutta.csv"), "{fault}");
    let fault = outputs.folder("--out", Path::new("/proc")).err().unwrap().to_string();
    assert!(fault.contains("--out") && fault.contains("/proc"), "{fault}");
}
