//! Names that come from files and command lines, as a terminal, a CSV and a legend can
//! bear them.

use std::error::Error;
use std::path::Path;

pub use kutta::tableau::printable;
use kutta::{Method, wgpu};

use crate::output;

/// A method that was asked for, and what to call it beside others.
#[derive(Clone, Debug, PartialEq)]
pub struct Named {
    pub method: Method,
    pub name: String,
}

/// Loads a method by its name or from a file. One from a file whose name belongs to a
/// built-in method is told from that by the file: `rk4 (mine.json)`.
///
/// # Errors
/// An unknown name, or what is wrong with the file: errors of the command line.
pub fn load(name_or_path: &str) -> Result<Named, Box<dyn Error>> {
    let name_or_path = name_or_path.trim();
    let method = Method::load(name_or_path).map_err(output::usage)?;
    let mut name = method.to_string();
    if Method::is_path(name_or_path) && name.parse::<Method>().is_ok() {
        let file = Path::new(name_or_path).file_name().unwrap_or_default();
        name += &format!(" ({})", printable(&file.to_string_lossy()));
    }
    Ok(Named { method, name })
}

/// The driver of an adapter, and which one of those that have its name.
pub fn driver(info: &wgpu::AdapterInfo) -> String {
    format!("{} {}", info.driver, info.driver_info).trim().to_owned()
}

/// Text as one cell of a CSV, in quotes where it must be: RFC 4180.
pub fn cell(text: &str) -> String {
    if text.contains(['"', ',', '\n', '\r']) {
        format!("\"{}\"", text.replace('"', "\"\""))
    } else {
        text.into()
    }
}
