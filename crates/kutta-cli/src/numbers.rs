//! Numbers as people read them.

/// 12345.6 → "12,346".
pub fn grouped(value: f64) -> String {
    let digits = format!("{:.0}", value.abs());
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    if value < 0.0 && digits != "0" { format!("-{text}") } else { text }
}

/// Bytes as hexadecimal digits.
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A fraction as per cent: 0.9712 → "97.12 %".
pub fn per_cent(fraction: f64) -> String {
    format!("{:.2} %", 100.0 * fraction)
}

/// Three or so significant digits, without an exponent where that is short.
pub fn short(value: f64) -> String {
    match value.abs() {
        0.0 => "0".into(),
        a if (1e-3..1e6).contains(&a) => {
            let digits = (2 - a.log10().floor() as i32).max(0) as usize;
            format!("{value:.digits$}")
        }
        _ => format!("{value:.1e}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_grouped() {
        let cases = [
            (0.0, "0"),
            (-0.2, "0"),
            (999.0, "999"),
            (1000.0, "1,000"),
            (-1234567.0, "-1,234,567"),
        ];
        for (value, text) in cases {
            assert_eq!(grouped(value), text);
        }
    }

    #[test]
    fn three_digits_are_kept() {
        let cases =
            [(0.012345, "0.0123"), (2.3051, "2.31"), (123.4, "123"), (1e-7, "1.0e-7"), (0.0, "0")];
        for (value, text) in cases {
            assert_eq!(short(value), text);
        }
    }
}
