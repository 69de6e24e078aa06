//! [`Number`]: `DynamoDB`'s exact decimals, in one form for each value.

use std::{cmp::Ordering, fmt, str::FromStr};

/// An exact decimal of up to 38 significant digits, from 1E-130 to 9.99…E+125, or zero.
///
/// `1.50`, `1.5` and `15e-1` are one number and have one form here; no `f64` is ever involved.
/// <https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/HowItWorks.NamingRulesDataTypes.html>
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Number {
    negative: bool,
    /// The significant digits, without trailing zeros; 0 for zero.
    digits: u128,
    /// The value is `digits * 10^exponent`; 0 for zero.
    exponent: i16,
}

/// Why a text is no number of `DynamoDB`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum BadNumber {
    /// It is not a decimal at all.
    #[error("{0:?} is not a number")]
    NotDecimal(String),
    /// More than 38 significant digits.
    #[error("{0:?} has more than 38 significant digits")]
    TooPrecise(String),
    /// Its magnitude is out of range.
    #[error("{0:?} is out of the range of a number, 1E-130 to 9.9E+125")]
    OutOfRange(String),
}

const DIGITS_MAX: usize = 38;
/// The exponents of the first digit.
const MAGNITUDES: std::ops::RangeInclusive<i64> = -130..=125;

impl Number {
    /// Zero.
    pub const ZERO: Self = Self { negative: false, digits: 0, exponent: 0 };

    /// Sign: -1, 0 or 1.
    pub fn signum(self) -> i8 {
        match (self.digits, self.negative) {
            (0, _) => 0,
            (_, true) => -1,
            (_, false) => 1,
        }
    }

    /// The significant digits without trailing zeros, and the power of ten that they count.
    pub fn parts(self) -> (u128, i16) {
        (self.digits, self.exponent)
    }

    /// The power of ten of the first digit.
    fn magnitude(self) -> i32 {
        i32::from(self.exponent) + i32::try_from(self.digits.checked_ilog10().unwrap_or(0)).unwrap_or(i32::MAX)
    }
}

impl FromStr for Number {
    type Err = BadNumber;

    fn from_str(text: &str) -> Result<Self, BadNumber> {
        let not_decimal = || BadNumber::NotDecimal(text.to_owned());
        let unsigned = text.strip_prefix(['-', '+']).unwrap_or(text);
        let (mantissa, exponent) = match unsigned.split_once(['e', 'E']) {
            Some((mantissa, exponent)) => (mantissa, exponent.parse::<i64>().map_err(|_| not_decimal())?),
            None => (unsigned, 0),
        };
        let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
        let is_digits = |part: &str| part.bytes().all(|byte| byte.is_ascii_digit());
        if whole.len() + fraction.len() == 0 || !is_digits(whole) || !is_digits(fraction) {
            return Err(not_decimal());
        }
        let all = [whole, fraction].concat();
        let significant = all.trim_start_matches('0').trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::ZERO);
        }
        if significant.len() > DIGITS_MAX {
            return Err(BadNumber::TooPrecise(text.to_owned()));
        }
        let trailing = all.len() - all.trim_end_matches('0').len();
        let out_of_range = || BadNumber::OutOfRange(text.to_owned());
        let length = |count: usize| i64::try_from(count).map_err(|_| out_of_range());
        let exponent = exponent
            .checked_add(length(trailing)?)
            .and_then(|sum| sum.checked_sub(i64::try_from(fraction.len()).ok()?))
            .ok_or_else(out_of_range)?;
        let magnitude = exponent.checked_add(length(significant.len())? - 1).ok_or_else(out_of_range)?;
        if !MAGNITUDES.contains(&magnitude) {
            return Err(out_of_range());
        }
        Ok(Self {
            negative: text.starts_with('-'),
            digits: significant.parse().map_err(|_| not_decimal())?,
            exponent: i16::try_from(exponent).map_err(|_| out_of_range())?,
        })
    }
}

/// Plain decimals, without an exponent: the form in which `DynamoDB` returns numbers.
impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let digits = self.digits.to_string();
        if self.negative {
            f.write_str("-")?;
        }
        if let Ok(zeros) = usize::try_from(self.exponent) {
            return write!(f, "{digits}{:0<zeros$}", "");
        }
        let places = usize::from(self.exponent.unsigned_abs());
        match digits.len().checked_sub(places).filter(|whole| *whole > 0) {
            Some(whole) => write!(f, "{}.{}", &digits[..whole], &digits[whole..]),
            None => write!(f, "0.{digits:0>places$}"),
        }
    }
}

impl Ord for Number {
    fn cmp(&self, other: &Self) -> Ordering {
        let signs = self.signum().cmp(&other.signum());
        if signs != Ordering::Equal || self.digits == 0 {
            return signs;
        }
        let magnitudes = self.magnitude().cmp(&other.magnitude());
        let absolute = magnitudes.then_with(|| {
            // Of one magnitude, so the difference of the exponents is that of the lengths, and at most 37.
            let scaled = |of: &Self, to: i16| of.digits * 10u128.pow(u32::from(of.exponent.abs_diff(to)));
            let least = self.exponent.min(other.exponent);
            scaled(self, least).cmp(&scaled(other, least))
        });
        if self.negative { absolute.reverse() } else { absolute }
    }
}

impl PartialOrd for Number {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn number(text: &str) -> Number {
        text.parse().unwrap_or_else(|error| panic!("{error}"))
    }

    #[test]
    fn one_value_has_one_form() {
        for (texts, shown) in [
            (&["1.50", "1.5", "15e-1", "+1.5", "0001.500", "0.15E1"][..], "1.5"),
            (&["1E2", "100", "100.000", "1e+2", "0.1E3"][..], "100"),
            (&["0", "-0", "0.000", "0e77", "-0.0E-9"][..], "0"),
            (&["-0.001", "-1E-3", "-.001"][..], "-0.001"),
            (&["12345678901234567890123456789012345678"][..], "12345678901234567890123456789012345678"),
        ] {
            for text in texts {
                assert_eq!(number(text), number(texts[0]), "{text}");
                assert_eq!(number(text).to_string(), shown, "{text}");
            }
        }
        assert_eq!(number("1E125").to_string().len(), 126);
        assert_eq!(number(&number("-9.87E-130").to_string()), number("-9.87E-130"));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for text in
            ["", "-", ".", "1.2.3", "1e", "e1", "0x1", "1_000", " 1", "NaN", "Infinity", "1e99999999999999999999"]
        {
            assert!(matches!(text.parse::<Number>(), Err(BadNumber::NotDecimal(_))), "{text:?}");
        }
        let precise = "1".repeat(39);
        assert!(matches!(precise.parse::<Number>(), Err(BadNumber::TooPrecise(_))));
        for text in ["1E126", "1E-131", "1e9223372036854775807", "-1e-9223372036854775808"] {
            assert!(matches!(text.parse::<Number>(), Err(BadNumber::OutOfRange(_))), "{text:?}");
        }
    }

    #[test]
    fn numbers_are_ordered_by_value() {
        let ascending =
            ["-1E125", "-12", "-1.5", "-1.49", "-1E-130", "0", "1E-130", "0.5", "1.49", "1.5", "12", "1E125"];
        for pair in ascending.windows(2) {
            assert!(number(pair[0]) < number(pair[1]), "{pair:?}");
        }
    }
}
