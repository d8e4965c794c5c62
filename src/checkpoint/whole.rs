//! A file that is there whole or not at all: it is written beside its place, and renamed.
//!
//! It knows nothing else of the library: kutta's programs take it from here, so that all that
//! they write follows one set of rules.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

/// Ending of files that are not yet whole.
pub const TEMPORARY: &str = ".kutta-part";

/// Links that lead to links: as many as Linux follows.
const MOST_LINKS: usize = 40;

/// Bytes of a name that the name beside it repeats; systems take 255 of each.
const MOST_REPEATED: usize = 200;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The place where a file goes, found before anything is written.
#[derive(Clone, Debug)]
pub struct Destination {
    target: PathBuf,
    /// Permissions of the file that is there already; the new one gets the same.
    permissions: Option<fs::Permissions>,
}

impl Destination {
    /// Follows links from `path` to where the file will be, which need not exist yet.
    ///
    /// # Errors
    /// What is there is no regular file, or may not be written; its folder is missing;
    /// links that lead nowhere but to each other.
    pub fn of(path: &Path) -> io::Result<Self> {
        let target = followed(path)?;
        let it = match target == path {
            true => "it ".to_owned(),
            false => format!("it is a link to `{}`, which ", target.display()),
        };
        let refused = |fault: String| io::Error::new(io::ErrorKind::InvalidInput, fault);
        let permissions = match fs::metadata(path) {
            Ok(found) if !found.is_file() => {
                let kind = kind(&found.file_type());
                return Err(refused(format!("{it}is {kind}; name a regular file")));
            }
            Ok(found) => {
                // Whoever made a file read-only does not want it replaced.
                let tried = OpenOptions::new().append(true).open(&target);
                tried
                    .map_err(|e| io::Error::new(e.kind(), format!("{it}is there already: {e}")))?;
                Some(found.permissions())
            }
            Err(_) => None,
        };
        if names_no_file(&target) {
            return Err(refused(format!("{it}names no file")));
        }
        folder_of(&target)?;
        Ok(Self { target, permissions })
    }

    /// Makes the draft of some file in this folder, to try whether there can be one.
    pub fn any_in(folder: &Path) -> Self {
        Self { target: folder.join("try"), permissions: None }
    }

    /// The path where the file will be.
    pub fn target(&self) -> &Path {
        &self.target
    }

    /// An empty file beside the place; dropped before [`Draft::finish`] it is removed again.
    ///
    /// # Errors
    /// A folder in which no file can be made.
    pub fn begin(&self) -> io::Result<Draft> {
        let name = self.target.file_name().unwrap_or_default().to_string_lossy();
        let mut end = name.len().min(MOST_REPEATED);
        while !name.is_char_boundary(end) {
            end -= 1;
        }
        loop {
            let number = NEXT.fetch_add(1, Ordering::Relaxed);
            let beside = format!(".{}.{}-{number}{TEMPORARY}", &name[..end], std::process::id());
            let beside = self.target.with_file_name(beside);
            match OpenOptions::new().write(true).create_new(true).open(&beside) {
                Ok(file) => {
                    let file = BufWriter::with_capacity(1 << 16, file);
                    let (target, permissions) = (self.target.clone(), self.permissions.clone());
                    return Ok(Draft { file, beside: Some(beside), target, permissions });
                }
                // Of a process that had this number before, and was killed.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) => return Err(error),
            }
        }
    }
}

/// A file that is being written.
#[derive(Debug)]
pub struct Draft {
    file: BufWriter<File>,
    /// Its name until it has the target's.
    beside: Option<PathBuf>,
    target: PathBuf,
    permissions: Option<fs::Permissions>,
}

impl Draft {
    /// Gives the file its name, with what is written so far; more may follow.
    ///
    /// # Errors
    /// What keeps it from the disk. The file of before is still there then.
    pub fn appear(&mut self) -> io::Result<()> {
        self.file.flush()?;
        let Some(beside) = &self.beside else { return Ok(()) };
        if let Some(permissions) = self.permissions.take() {
            fs::set_permissions(beside, permissions)?;
        }
        fs::rename(beside, &self.target)?;
        self.beside = None;
        Ok(())
    }

    /// Flushes to the disk, renames, and flushes the folder.
    ///
    /// # Errors
    /// What keeps it from the disk.
    pub fn finish(mut self) -> io::Result<()> {
        self.file.flush()?;
        self.file.get_ref().sync_all()?;
        self.appear()?;
        sync_folder(&self.target)
    }
}

impl Write for Draft {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.file.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Removes what is left of the draft, which is nobody's.
impl Drop for Draft {
    fn drop(&mut self) {
        if let Some(beside) = &self.beside {
            let _ = fs::remove_file(beside);
        }
    }
}

/// The path behind links, the last of which may lead to nothing yet.
fn followed(path: &Path) -> io::Result<PathBuf> {
    let mut target = path.to_owned();
    for _ in 0..MOST_LINKS {
        // Resolves to another path wherever there is a link at the end.
        match fs::read_link(&target) {
            Ok(next) => target = target.parent().unwrap_or(Path::new("")).join(next),
            Err(_) => return Ok(target),
        }
    }
    Err(io::Error::new(
        io::ErrorKind::InvalidInput,
        format!("it is a link, and after {MOST_LINKS} links there is another one"),
    ))
}

/// The folder that a file of this path lies in.
///
/// # Errors
/// It is missing, or something else; by name.
fn folder_of(target: &Path) -> io::Result<PathBuf> {
    let folder = match target.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    };
    match fs::metadata(&folder) {
        Ok(found) if found.is_dir() => Ok(folder),
        Ok(_) => Err(io::Error::new(
            io::ErrorKind::NotADirectory,
            format!("`{}` is no folder", folder.display()),
        )),
        Err(error) => Err(io::Error::new(error.kind(), no_folder(&folder, &error))),
    }
}

/// Says which of a folder's ancestors is missing or no folder.
fn no_folder(folder: &Path, error: &io::Error) -> String {
    let missing = folder
        .ancestors()
        .take_while(|path| !path.as_os_str().is_empty() && fs::symlink_metadata(path).is_err());
    let parent = folder.ancestors().find(|path| fs::symlink_metadata(path).is_ok());
    match (missing.last(), parent) {
        (_, Some(parent)) if !parent.is_dir() => format!("`{}` is no folder", parent.display()),
        (Some(missing), _) if error.kind() == io::ErrorKind::NotFound => {
            format!("there is no folder `{}`; make it first", missing.display())
        }
        _ => format!("its folder `{}`: {error}", folder.display()),
    }
}

/// Makes a folder, and those above it, where they are missing.
///
/// # Errors
/// What is in the way, by name.
pub fn make_folder(folder: &Path) -> io::Result<()> {
    fs::create_dir_all(folder).map_err(|error| {
        let found = folder.ancestors().find(|path| fs::symlink_metadata(path).is_ok());
        match found {
            Some(path) if !path.is_dir() => {
                let kind = fs::metadata(path).map_or("a link to nothing", |m| kind(&m.file_type()));
                let fault = format!("`{}` is {kind}, and no folder", path.display());
                io::Error::new(error.kind(), fault)
            }
            Some(path) => io::Error::new(error.kind(), format!("in `{}`: {error}", path.display())),
            None => error,
        }
    })
}

/// `folder/` and `..` name folders, be they there or not.
fn names_no_file(path: &Path) -> bool {
    path.file_name().is_none() || path.to_string_lossy().ends_with(std::path::is_separator)
}

/// Checks that a path leads to a regular file, if to anything.
///
/// # Errors
/// What it leads to.
pub fn check_regular(path: &Path) -> io::Result<()> {
    match fs::metadata(path) {
        Ok(found) if !found.is_file() => Err(io::Error::new(
            io::ErrorKind::InvalidInput,
            format!("it is {}, and no regular file", kind(&found.file_type())),
        )),
        _ => Ok(()),
    }
}

/// Names a kind of file in words, with an article.
fn kind(of: &fs::FileType) -> &'static str {
    #[cfg(unix)]
    {
        use std::os::unix::fs::FileTypeExt;
        if of.is_fifo() {
            return "a named pipe";
        } else if of.is_socket() {
            return "a socket";
        } else if of.is_char_device() || of.is_block_device() {
            return "a device";
        }
    }
    if of.is_dir() {
        "a folder"
    } else if of.is_file() {
        "a file"
    } else {
        "something else"
    }
}

/// A name is on the disk when its folder is. Windows has no handles of folders to flush.
fn sync_folder(path: &Path) -> io::Result<()> {
    if cfg!(unix) {
        File::open(folder_of(path)?)?.sync_all()?;
    }
    Ok(())
}
