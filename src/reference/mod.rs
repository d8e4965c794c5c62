//! The mathematics in f64, to hold everything faster against.

pub mod problems;
pub mod textbook;

pub use problems::Problem;
