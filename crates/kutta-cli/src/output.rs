//! What a command leaves behind: files, text and an exit code.
//!
//! Files are named and tried before the work begins, and are there whole or not at all.
//! Text goes to standard output and error; a pipe that somebody closed is passed over in
//! silence, and the work goes on. A file that cannot be written is said at once and counted;
//! the others are still written. The exit code is 0 where everything worked, 1 where
//! something failed, and 2 for a command line that asks for what cannot be.
//!
//! A program uses it so:
//!
//! ```ignore
//! use kutta_cli::{output, say};
//!
//! fn main() -> ExitCode {
//!     output::main(run)
//! }
//!
//! fn run(args: Args) -> Result<(), Box<dyn Error>> {
//!     let method = Method::load(&args.method).map_err(output::usage)?;
//!     let mut outputs = Outputs::default();
//!     let svg = outputs.folder("--out", &args.out)?.file("picture.svg")?;
//!     let json = args.json.map(|path| outputs.file("--json", &path)).transpose()?;
//!     // Work that takes hours.
//!     say!("{table}");
//!     svg.put(&bytes);
//!     if let Some(json) = &json {
//!         json.write(|out| serde_json::to_writer(out, &summary).map_err(Into::into));
//!     }
//!     outputs.list();
//!     Ok(())
//! }
//! ```

use std::cell::Cell;
use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::rc::Rc;
use std::sync::atomic::{AtomicBool, Ordering};

use clap::{CommandFactory, Parser};
use kutta::checkpoint::whole::{self, Destination, Draft};

/// Something could not be written. Of the process, as its exit code is.
static FAILED: AtomicBool = AtomicBool::new(false);

/// Standard output failed, and need not be tried again.
static STDOUT_FAILED: AtomicBool = AtomicBool::new(false);

/// Prints a line to standard output.
#[macro_export]
macro_rules! say {
    ($($text:tt)*) => { $crate::output::print(format_args!("{}\n", format_args!($($text)*))) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! note {
    ($($text:tt)*) => { $crate::output::note(format_args!($($text)*)) };
}

/// A command line that can be read, and asks for what cannot be: exit code 2.
#[derive(Debug)]
pub struct Usage(String);

impl fmt::Display for Usage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for Usage {}

/// Turns what is wrong with an option into an error of the command line, for `map_err`.
pub fn usage(fault: impl fmt::Display) -> Box<dyn Error> {
    Box::new(Usage(fault.to_string()))
}

/// Reads the command line, runs, says what failed, and gives the exit code.
pub fn main<A: Parser>(run: impl FnOnce(A) -> Result<(), Box<dyn Error>>) -> ExitCode {
    let read = || {
        let mut command = command::<A>();
        let mut matches = command.try_get_matches_from_mut(std::env::args_os())?;
        A::from_arg_matches_mut(&mut matches).map_err(|e| e.format(&mut command))
    };
    main_with(read, run)
}

/// What clap is told of a command. Options take negative numbers, so that what is wrong
/// with `--t-end -1` is said of its value.
pub fn command<A: CommandFactory>() -> clap::Command {
    negative_numbers(A::command())
}

fn negative_numbers(command: clap::Command) -> clap::Command {
    let command = command.mut_args(|arg| {
        let takes = !arg.is_positional() && arg.get_action().takes_values();
        if takes { arg.allow_negative_numbers(true) } else { arg }
    });
    command.mut_subcommands(negative_numbers)
}

/// The same for a command that reads its line in a way of its own.
pub fn main_with<A>(
    read: impl FnOnce() -> Result<A, clap::Error>,
    run: impl FnOnce(A) -> Result<(), Box<dyn Error>>,
) -> ExitCode {
    let args = match read() {
        Ok(args) => args,
        Err(error) => {
            // --help goes to standard output, and is no error.
            let printed = error.print();
            if let (false, Err(fault)) = (error.use_stderr(), printed) {
                stdout_failed(&fault);
            }
            return match FAILED.load(Ordering::Relaxed) {
                true => ExitCode::FAILURE,
                false => ExitCode::from(error.exit_code() as u8),
            };
        }
    };
    let outcome = run(args);
    flush();
    match outcome {
        Ok(()) if FAILED.load(Ordering::Relaxed) => ExitCode::FAILURE,
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            note(format_args!("error: {error}"));
            if error.is::<Usage>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

/// Prints text to standard output, without a line's end; see `say!`.
pub fn print(text: impl fmt::Display) {
    if STDOUT_FAILED.load(Ordering::Relaxed) {
        return;
    }
    if let Err(error) = write!(io::stdout().lock(), "{text}") {
        stdout_failed(&error);
    }
}

/// At the end: `print` keeps what follows the last line's end.
fn flush() {
    if !STDOUT_FAILED.load(Ordering::Relaxed)
        && let Err(error) = io::stdout().lock().flush()
    {
        stdout_failed(&error);
    }
}

fn stdout_failed(error: &io::Error) {
    STDOUT_FAILED.store(true, Ordering::Relaxed);
    if error.kind() != ErrorKind::BrokenPipe {
        fault(format_args!("standard output cannot be written: {error}"));
    }
}

/// Prints a line to standard error; see `note!`. Nobody is left to hear that it failed.
pub fn note(text: impl fmt::Display) {
    // In one write, so that lines of several threads do not mix.
    let _ = io::stderr().lock().write_all(format!("{text}\n").as_bytes());
}

/// Says what failed, and remembers it for the exit code, while the command goes on.
pub fn fault(text: impl fmt::Display) {
    FAILED.store(true, Ordering::Relaxed);
    note(format_args!("error: {text}"));
}

/// The files of a command, as its options name them.
#[derive(Default)]
pub struct Outputs {
    files: Rc<Claims>,
}

#[derive(Default)]
struct Claims(std::cell::RefCell<Vec<Claim>>);

struct Claim {
    option: String,
    path: PathBuf,
    target: PathBuf,
    written: Rc<Cell<bool>>,
}

impl Outputs {
    /// A folder for files, which is made if it is missing.
    ///
    /// # Errors
    /// One that cannot be made, or in which no file can.
    pub fn folder(&mut self, option: &str, path: &Path) -> Result<Folder, Box<dyn Error>> {
        whole::make_folder(path).map_err(|error| {
            format!("the folder of {option} `{}` cannot be made: {error}", path.display())
        })?;
        try_out(&Destination::any_in(path)).map_err(|error| {
            format!("no file can be written in {option} `{}`: {error}", path.display())
        })?;
        Ok(Folder { files: self.files.clone(), option: option.into(), path: path.to_owned() })
    }

    /// A single file, in a folder that is there.
    ///
    /// # Errors
    /// A missing folder, by name; what cannot be written, or is no regular file; a file that
    /// another option names too.
    pub fn file(&mut self, option: &str, path: &Path) -> Result<Output, Box<dyn Error>> {
        claim(&self.files, option, path)
    }

    /// Prints `wrote a, b and c`: whatever has been written.
    pub fn list(&self) {
        let claims = self.files.0.borrow();
        let names: Vec<String> = claims
            .iter()
            .filter(|claim| claim.written.get())
            .map(|claim| claim.path.display().to_string())
            .collect();
        if let Some((last, others)) = names.split_last() {
            let others = others.join(", ");
            let and = if others.is_empty() { "" } else { " and " };
            print(format_args!("wrote {others}{and}{last}\n"));
        }
    }
}

/// A folder of files.
#[derive(Clone)]
pub struct Folder {
    files: Rc<Claims>,
    option: String,
    path: PathBuf,
}

impl Folder {
    /// A file in this folder, tried as those of [`Outputs::file`] are.
    ///
    /// # Errors
    /// As [`Outputs::file`].
    pub fn file(&self, name: impl AsRef<Path>) -> Result<Output, Box<dyn Error>> {
        claim(&self.files, &self.option, &self.path.join(name))
    }

    pub fn path(&self) -> &Path {
        &self.path
    }
}

/// Tries a path and leaves what is there as it was.
fn claim(files: &Rc<Claims>, option: &str, path: &Path) -> Result<Output, Box<dyn Error>> {
    let destination =
        Destination::of(path).and_then(|destination| try_out(&destination).map(|()| destination));
    let destination = destination.map_err(|error| cannot(option, path, &error))?;
    let target = one_name(destination.target());
    let mut claims = files.0.borrow_mut();
    if let Some(other) = claims.iter().find(|claim| claim.target == target) {
        return Err(usage(format_args!(
            "{option} and {} both write `{}`; name two files",
            other.option,
            path.display()
        )));
    }
    let written = Rc::new(Cell::new(false));
    claims.push(Claim {
        option: option.into(),
        path: path.to_owned(),
        target,
        written: written.clone(),
    });
    Ok(Output { option: option.into(), path: path.to_owned(), written })
}

/// One file may have several names, such as `a/../b`.
fn one_name(target: &Path) -> PathBuf {
    let folder = target.parent().filter(|folder| !folder.as_os_str().is_empty());
    let folder = folder.unwrap_or(Path::new(".")).canonicalize();
    match (folder, target.file_name()) {
        (Ok(folder), Some(name)) => folder.join(name),
        _ => target.to_owned(),
    }
}

/// A file beside the destination, made, filled with a byte and removed again.
fn try_out(destination: &Destination) -> io::Result<()> {
    let mut draft = destination.begin()?;
    draft.write_all(b"\n")?;
    draft.flush()
}

fn cannot(option: &str, path: &Path, error: &io::Error) -> String {
    format!("{option}: `{}` cannot be written: {error}", path.display())
}

/// A file that can be written, as far as could be tried.
pub struct Output {
    option: String,
    path: PathBuf,
    written: Rc<Cell<bool>>,
}

impl Output {
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes the whole file; whether that worked. What failed is said and counted.
    pub fn write(&self, encode: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> bool {
        let written = Destination::of(&self.path)
            .and_then(|destination| destination.begin())
            .and_then(|mut draft| {
                encode(&mut draft)?;
                draft.finish()
            });
        if let Err(error) = &written {
            fault(cannot(&self.option, &self.path, error));
        }
        self.written.set(written.is_ok());
        written.is_ok()
    }

    /// The same with bytes that are there.
    pub fn put(&self, bytes: impl AsRef<[u8]>) -> bool {
        self.write(|out| out.write_all(bytes.as_ref()))
    }

    /// The same with what may have failed before there was anything to write, such as a
    /// drawing.
    pub fn put_made(&self, bytes: Result<Vec<u8>, Box<dyn Error>>) -> bool {
        self.write(|out| out.write_all(&bytes.map_err(|e| io::Error::other(e.to_string()))?))
    }

    /// Begins a file whose rows can be read as they come.
    pub fn rows(&self) -> Rows {
        let path = self.path.clone();
        let written = Some(self.written.clone());
        match Destination::of(&path).and_then(|destination| destination.begin()) {
            Ok(draft) => Rows { to: To::File(Box::new(draft), self.option.clone(), path), written },
            Err(error) => {
                fault(cannot(&self.option, &path, &error));
                Rows { to: To::Nothing, written }
            }
        }
    }
}

/// Text that is written as it comes, to a file or to standard output, and that whoever
/// looks finds there after each [`Rows::put`], also if the command is interrupted.
///
/// With its first text a file takes the place of the one before.
pub struct Rows {
    to: To,
    written: Option<Rc<Cell<bool>>>,
}

enum To {
    File(Box<Draft>, String, PathBuf),
    Stdout,
    /// It failed, and that was said.
    Nothing,
}

impl Rows {
    pub fn stdout() -> Self {
        Self { to: To::Stdout, written: None }
    }

    /// Writes some text. What fails is said once and counted; later text goes nowhere.
    pub fn put(&mut self, text: impl AsRef<[u8]>) {
        let text = text.as_ref();
        match &mut self.to {
            To::Nothing => {}
            To::Stdout => {
                let mut out = io::stdout().lock();
                if !STDOUT_FAILED.load(Ordering::Relaxed)
                    && let Err(error) = out.write_all(text).and_then(|()| out.flush())
                {
                    stdout_failed(&error);
                }
            }
            To::File(draft, option, path) => {
                let put = draft.write_all(text).and_then(|()| draft.appear());
                self.written.iter().for_each(|written| written.set(put.is_ok()));
                if let Err(error) = put {
                    fault(cannot(option, path, &error));
                    self.to = To::Nothing;
                }
            }
        }
    }

    /// Whether nobody reads what is written, so that a command without other results may
    /// end.
    pub fn is_closed(&self) -> bool {
        match self.to {
            To::Stdout => STDOUT_FAILED.load(Ordering::Relaxed),
            To::File(..) => false,
            To::Nothing => true,
        }
    }

    /// Flushes to the disk; whether everything is there.
    pub fn finish(self) -> bool {
        match self.to {
            To::Nothing => false,
            To::Stdout => !STDOUT_FAILED.load(Ordering::Relaxed),
            To::File(draft, option, path) => match draft.finish() {
                Ok(()) => true,
                Err(error) => {
                    fault(cannot(&option, &path, &error));
                    false
                }
            },
        }
    }
}
