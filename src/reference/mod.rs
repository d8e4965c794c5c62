//! The mathematics in f64, to hold everything faster against.

pub(crate) mod error;
pub mod problems;
pub mod registers;
pub mod replay;
pub mod textbook;

pub use error::ReferenceError;

pub use problems::Problem;
pub use replay::Replay;
