//! The CSV: a row for the start and one for each attempt, written as they come.

use kutta_cli::output::Rows;

/// One line: the attempt that led to θ, and L and ‖∇L‖ there.
#[derive(Clone)]
pub struct Row {
    pub h: f64,
    pub accepted: bool,
    pub loss: f64,
    pub grad_norm: f64,
    pub error: f64,
    pub theta: Vec<f64>,
}

/// Rows on their way to a file or to standard output.
pub struct Table {
    rows: Rows,
    /// Numbers are those of the device.
    single: bool,
    count: u64,
    last: Option<(f64, f64)>,
}

/// The last row of a table.
pub struct Last {
    pub attempts: u64,
    pub loss: f64,
    pub grad_norm: f64,
}

impl Table {
    pub fn new(rows: Rows, single: bool) -> Self {
        Self { rows, single, count: 0, last: None }
    }

    /// Shortest digits that read back to the same number: f32 from the device,
    /// f64 from the reference.
    pub fn put(&mut self, row: &Row) {
        let single = self.single;
        let number = |x: f64| if single { format!("{:?}", x as f32) } else { format!("{x:?}") };
        let mut text = String::new();
        if self.count == 0 {
            text += "step,h,accepted,loss,grad_norm,error";
            for i in 0..row.theta.len() {
                text += &format!(",theta_{i}");
            }
            text.push('\n');
        }
        text += &format!("{},{},{}", self.count, number(row.h), u8::from(row.accepted));
        for x in [row.loss, row.grad_norm, row.error].iter().chain(&row.theta) {
            text.push(',');
            text += &number(*x);
        }
        text.push('\n');
        self.rows.put(text);
        self.count += 1;
        self.last = Some((row.loss, row.grad_norm));
    }

    /// Nobody reads any more.
    pub fn is_closed(&self) -> bool {
        self.rows.is_closed()
    }

    /// What came last, if anything did and all of it is written.
    pub fn finish(self) -> Option<Last> {
        let written = self.rows.finish();
        let (loss, grad_norm) = self.last.filter(|_| written)?;
        Some(Last { attempts: self.count - 1, loss, grad_norm })
    }
}
