//! What the commands of kutta share with programs beside them: how they name, write and
//! print, and what they say while somebody waits. The commands are the program `kutta`.

pub mod names;
pub mod network;
pub mod notice;
#[macro_use]
pub mod output;
pub mod standstill;
