//! Exact arithmetic on numbers: the exact result, or none.

use crate::{expression::failed::Failed, item::Number};

/// The sum.
pub(super) fn add(a: Number, b: Number) -> Result<Number, Failed> {
    sum("+", a, b, false)
}

/// The difference.
pub(super) fn subtract(a: Number, b: Number) -> Result<Number, Failed> {
    sum("-", a, b, true)
}

/// The number with its sign turned.
pub(super) fn negate(a: Number) -> Result<Number, Failed> {
    sum("-", Number::ZERO, a, true)
}

fn sum(operation: &'static str, a: Number, b: Number, negated: bool) -> Result<Number, Failed> {
    // Zero has the exponent 0, which says nothing of the other number's.
    if a.signum() == 0 || b.signum() == 0 {
        let (of, negated) = if b.signum() == 0 { (a, false) } else { (b, negated) };
        let (digits, exponent) = of.parts();
        return number(operation, (of.signum() < 0) != negated, digits, exponent.into());
    }
    let exponent = a.parts().1.min(b.parts().1);
    let exact = || {
        let (a, b) = (scaled(a, exponent)?, scaled(b, exponent)?);
        if negated { a.checked_sub(b) } else { a.checked_add(b) }
    };
    let exact = exact().ok_or(Failed::Inexact(operation))?;
    number(operation, exact < 0, exact.unsigned_abs(), exponent.into())
}

/// The product.
pub(super) fn multiply(a: Number, b: Number) -> Result<Number, Failed> {
    let ((digits, exponent), (others, other)) = (a.parts(), b.parts());
    let digits = digits.checked_mul(others).ok_or(Failed::Inexact("*"))?;
    number("*", (a.signum() < 0) != (b.signum() < 0), digits, i32::from(exponent) + i32::from(other))
}

/// The remainder of whole numbers, with the sign of the first, as in CEL.
pub(super) fn remainder(a: Number, b: Number) -> Result<Number, Failed> {
    let (a, b) = (scaled(a, 0).ok_or(Failed::Remainder)?, scaled(b, 0).ok_or(Failed::Remainder)?);
    let rest = a.checked_rem(b).ok_or(Failed::Remainder)?;
    number("%", rest < 0, rest.unsigned_abs(), 0)
}

/// A whole number as an index; `None` for any other number.
pub(super) fn index(of: Number) -> Option<usize> {
    usize::try_from(scaled(of, 0)?).ok()
}

/// How many times 10^`exponent` a number is, if that is a whole number that fits.
fn scaled(of: Number, exponent: i16) -> Option<i128> {
    let (digits, own) = of.parts();
    let by = u32::try_from(i32::from(own) - i32::from(exponent)).ok()?;
    let digits = i128::try_from(digits.checked_mul(10u128.checked_pow(by)?)?).ok()?;
    Some(if of.signum() < 0 { -digits } else { digits })
}

fn number(operation: &'static str, negative: bool, digits: u128, exponent: i32) -> Result<Number, Failed> {
    let sign = if negative { "-" } else { "" };
    format!("{sign}{digits}E{exponent}").parse().map_err(|_| Failed::Inexact(operation))
}
