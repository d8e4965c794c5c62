//! The mathematics in f64, to hold everything faster against.

pub mod problems;
pub mod registers;
pub mod replay;
pub mod textbook;

pub use problems::Problem;
pub use replay::Replay;
