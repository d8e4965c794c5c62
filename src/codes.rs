//! Numbers that Rust and the shaders know by names. Each is written once, in Rust; a shader
//! gets its constants by `//: use`, from `src/device/library.rs`.

/// Makes WGSL constants of named numbers.
macro_rules! wgsl {
    ($($name:ident = $number:expr),* $(,)?) => {{
        const NUMBERS: &[(&str, u32)] = &[$((stringify!($name), $number)),*];
        const BYTES: [u8; $crate::codes::length(NUMBERS)] = $crate::codes::written(NUMBERS);
        match std::str::from_utf8(&BYTES) {
            Ok(text) => text,
            Err(_) => unreachable!(),
        }
    }};
}
pub(crate) use wgsl;

/// Lists of numbers, each a module with its constants and with their `WGSL`.
macro_rules! codes {
    ($($(#[$meta:meta])* $list:ident { $($(#[$doc:meta])* $name:ident = $number:expr),* $(,)? })*) => {$(
        $(#[$meta])*
        pub(crate) mod $list {
            $($(#[$doc])* pub(crate) const $name: u32 = $number;)*
            pub(crate) const WGSL: &str = $crate::codes::wgsl!($($name = $name),*);
        }
    )*};
}

codes! {
    /// What a record says of its attempt.
    verdict {
        IDLE = 0,
        ACCEPTED = 1,
        SKIPPED = 2,
        MEASURED = 3,
        REFUSED = 4,
        /// A NaN that arithmetic does not make, in place of a loss that nobody wrote.
        NO_LOSS = 0x7fc0_4b55,
    }
    /// Why nothing moves any more.
    failure {
        NO_FAILURE = 0,
        /// h fell below its least.
        TOO_SMALL = 1,
        /// Too many attempts were refused in a row.
        TOO_MANY_REFUSED = 2,
        /// An accepted h did not move time.
        STANDS = 3,
    }
    /// Bits of what was odd about an estimate of ρ.
    fallback {
        FLAT = 1,
        NEGATIVE = 2,
        NOT_FINITE = 4,
    }
    preconditioner {
        NO_PRECONDITIONER = 0,
        ADAGRAD_RESCALED = 1,
        ADAGRAD = 2,
        RMSPROP = 3,
        ADAM = 4,
        AMSGRAD = 5,
    }
    momentum {
        NO_MOMENTUM = 0,
        HEAVY_BALL = 1,
        NESTEROV = 2,
        EMA = 3,
    }
    /// What h follows.
    rule {
        NO_RULE = 0,
        DAL = 1,
        RESCALED_DAL = 2,
        POLYAK = 3,
        SGD_G2 = 4,
        /// What bounds it comes later: `shaders/fit.wgsl`.
        STABLE = 5,
    }
    /// Pieces of a schedule.
    curve {
        LINEAR = 0,
        COSINE = 1,
        EXPONENTIAL = 2,
        STAIRS = 3,
    }
    /// Limits of the settings.
    limit {
        NO_LIMIT = u32::MAX,
    }
    /// Invocations of a workgroup that walks a vector.
    lane {
        LANES = 256,
    }
    activation {
        IDENTITY = 0,
        RELU = 1,
        TANH = 2,
        GELU = 3,
        SINE = 4,
    }
    /// Problems with a formula.
    problem {
        QUADRATIC = 0,
        ROSENBROCK = 1,
        QUARTIC = 2,
        HIMMELBLAU = 3,
        BEALE = 4,
    }
}

/// Lists of numbers with a fraction: their Rust is f64, their WGSL has a type by its use.
macro_rules! decimals {
    ($($(#[$meta:meta])* $list:ident { $($(#[$doc:meta])* $name:ident = $number:literal),* $(,)? })*) => {$(
        $(#[$meta])*
        pub(crate) mod $list {
            $($(#[$doc])* pub(crate) const $name: f64 = $number;)*
            pub(crate) const WGSL: &str =
                concat!($("const ", stringify!($name), " = ", stringify!($number), ";\n"),*);
        }
    )*};
}

decimals! {
    /// What a step-size controller is bound by.
    controller {
        /// Bounds of one attempt's factor.
        SHRINK = 0.2,
        GROW = 10.0,
        /// Errors in the history count as at least this.
        FLOOR = 1e-4,
    }
}

const LINE: [&[u8]; 3] = [b"const ", b": u32 = ", b"u;\n"];

const fn digits(number: u32) -> usize {
    match number.checked_ilog10() {
        Some(log) => log as usize + 1,
        None => 1,
    }
}

/// Bytes of the WGSL of these numbers.
pub(crate) const fn length(numbers: &[(&str, u32)]) -> usize {
    let (mut bytes, mut i) = (0, 0);
    while i < numbers.len() {
        let (name, number) = numbers[i];
        bytes += LINE[0].len() + name.len() + LINE[1].len() + digits(number) + LINE[2].len();
        i += 1;
    }
    bytes
}

const fn put(bytes: &mut [u8], mut at: usize, part: &[u8]) -> usize {
    let mut i = 0;
    while i < part.len() {
        bytes[at] = part[i];
        at += 1;
        i += 1;
    }
    at
}

/// The WGSL of these numbers.
pub(crate) const fn written<const N: usize>(numbers: &[(&str, u32)]) -> [u8; N] {
    let mut bytes = [0; N];
    let (mut at, mut i) = (0, 0);
    while i < numbers.len() {
        let (name, mut number) = numbers[i];
        at = put(&mut bytes, at, LINE[0]);
        at = put(&mut bytes, at, name.as_bytes());
        at = put(&mut bytes, at, LINE[1]);
        let end = at + digits(number);
        let mut digit = end;
        while digit > at {
            digit -= 1;
            bytes[digit] = b'0' + (number % 10) as u8;
            number /= 10;
        }
        at = put(&mut bytes, end, LINE[2]);
        i += 1;
    }
    bytes
}

#[cfg(test)]
mod tests {
    #[test]
    fn numbers_become_constants_of_wgsl() {
        let text = wgsl!(NONE = 0, TEN = 10, NINETY_NINE = 99, ALL = u32::MAX);
        let lines = ["NONE: u32 = 0u", "TEN: u32 = 10u", "NINETY_NINE: u32 = 99u"];
        let lines = lines.into_iter().chain(["ALL: u32 = 4294967295u"]);
        let expected: String = lines.map(|line| format!("const {line};\n")).collect();
        assert_eq!(text, expected);
        let text = "const SHRINK = 0.2;\nconst GROW = 10.0;\nconst FLOOR = 1e-4;\n";
        assert_eq!(super::controller::WGSL, text);
    }
}
