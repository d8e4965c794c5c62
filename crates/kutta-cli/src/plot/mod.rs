//! Drawing: pictures of panels with axes, as SVG and as PNG by the same code.

pub mod axis;
pub mod canvas;
pub mod curves;
pub mod panel;
pub mod style;
