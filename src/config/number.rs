//! Whole numbers as YAML 1.2 writes them, save that `0600` is not guessed at.

use serde_json::Value;

/// Why a text is not taken for a number.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Odd {
    NoNumber,
    /// Octal to YAML 1.1, decimal to YAML 1.2.
    LeadingZero,
}

/// Reads decimal digits, `0x…` or `0o…`. A number too large for any key is held at the largest there is.
pub(super) fn read(text: &str) -> Result<i128, Odd> {
    let (negative, digits) = match text.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let (digits, radix) = match (digits.strip_prefix("0x"), digits.strip_prefix("0o")) {
        (Some(hexadecimal), _) => (hexadecimal, 16),
        (None, Some(octal)) => (octal, 8),
        (None, None) => (digits, 10),
    };
    if digits.is_empty() || !digits.chars().all(|digit| digit.is_digit(radix)) {
        return Err(Odd::NoNumber);
    }
    if radix == 10 && digits.len() > 1 && digits.starts_with('0') {
        return Err(Odd::LeadingZero);
    }
    let number = i128::from_str_radix(digits, radix).unwrap_or(i128::MAX);
    Ok(if negative { number.saturating_neg() } else { number })
}

/// The number for the schema's types, which are all unsigned.
pub(super) fn json(number: i128) -> Option<Value> {
    u64::try_from(number).ok().map(Value::from)
}

/// What a number out of range should have been.
pub(super) fn range(number: i128, least: i128, most: i128) -> String {
    if number < least && most >= i128::from(u32::MAX) {
        format!("must be {least} or more")
    } else {
        format!("must be from {least} to {most}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn what_could_be_octal_is_not_guessed_at() {
        assert_eq!(read("0600"), Err(Odd::LeadingZero));
        assert_eq!(read("0o600"), Ok(384));
        assert_eq!(read("0x10"), Ok(16));
        assert_eq!(read("0"), Ok(0));
        for text in ["", "-", "5s", "1_000", "1e3", "1.0", "0x", "٣"] {
            assert_eq!(read(text), Err(Odd::NoNumber), "{text}");
        }
    }

    proptest! {
        #[test]
        fn every_number_reads_back(number: u64) {
            prop_assert_eq!(read(&number.to_string()), Ok(i128::from(number)));
            prop_assert_eq!(json(i128::from(number)), Some(Value::from(number)));
        }
    }
}
