//! What the host tells the device between submits. WGSL twin:
//! `shaders/shared/settings.wgsl`.

use super::kernel::wgsl_struct;

wgsl_struct! {
    /// Limits and constants of an optimizer's attempts.
    pub struct Settings {
        pub h: f32,
        pub end_high: f32,
        pub end_low: f32,
        pub accepted_limit: u32,
        pub stages: u32,
        pub partials: u32,
        pub ring: u32,
        pub log_second: f32,
        pub log_mean: f32,
        pub unused_0: u32,
        pub unused_1: u32,
        pub unused_2: u32,
    }
}

impl Settings {
    /// Integrate to `end`, or without end.
    pub fn set_end(&mut self, end: Option<f64>) {
        let end = end.unwrap_or(f64::from(f32::MAX));
        self.end_high = end as f32;
        self.end_low = (end - f64::from(self.end_high)) as f32;
    }
}
