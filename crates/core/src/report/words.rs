//! Numbers in sentences. Every count that people read goes through these, so that none says "1 records" or "5000000".

use std::fmt;

/// A number in groups of three digits: `1,234,567`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Grouped(pub u64);

impl fmt::Display for Grouped {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.0.to_string();
        let mut text = String::with_capacity(digits.len() + digits.len() / 3);
        for (at, digit) in digits.chars().enumerate() {
            if at > 0 && (digits.len() - at).is_multiple_of(3) {
                text.push(',');
            }
            text.push(digit);
        }
        f.pad(&text)
    }
}

/// A number with what it counts, in the singular or the plural: `count(1, "record", "records")`.
pub fn count(number: u64, one: &str, many: &str) -> String {
    format!("{} {}", Grouped(number), if number == 1 { one } else { many })
}

/// The number of some records.
pub fn records(number: u64) -> String {
    count(number, "record", "records")
}

/// The number of some bytes, all digits of it: where one byte matters.
pub fn bytes(number: u64) -> String {
    count(number, "byte", "bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_is_singular_and_thousands_are_apart() {
        assert_eq!(records(1), "1 record");
        assert_eq!(records(0), "0 records");
        assert_eq!(count(1_234_567, "dataset moves", "datasets move"), "1,234,567 datasets move");
        assert_eq!(Grouped(999).to_string(), "999");
        assert_eq!(Grouped(u64::MAX).to_string(), "18,446,744,073,709,551,615");
        assert_eq!(format!("{:>6}", Grouped(1000)), " 1,000");
    }
}
