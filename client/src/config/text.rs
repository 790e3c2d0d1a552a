//! Settings as text: durations, numbers and switches.

use etcd3_core::Secret;
use std::time::Duration;

/// A setting as it was written, which may be a secret.
#[derive(Debug, Clone)]
pub(super) struct Text {
    text: Secret,
    /// Whether it stands in quotes, or comes from where there are none.
    is_quoted: bool,
}

/// Why a setting cannot be read; never has the text of it.
pub(super) type Refusal = String;

const DURATION: &str = "give a duration such as 5s, 500ms or 1m30s";

impl Text {
    /// A text that is a number only by what it is read as.
    pub(super) fn quoted(text: impl Into<String>) -> Self {
        Self { text: Secret::new(text), is_quoted: true }
    }

    /// A text that says by itself what it is: without quotes in a file.
    #[cfg(feature = "config-file")]
    pub(super) fn plain(text: impl Into<String>) -> Self {
        Self { text: Secret::new(text), is_quoted: false }
    }

    pub(super) fn as_str(&self) -> &str {
        self.text.expose()
    }

    pub(super) fn secret(&self) -> Secret {
        self.text.clone()
    }

    /// Returns whether nothing was given: an empty text, or YAML's null.
    pub(super) fn is_nothing(&self) -> bool {
        let text = self.as_str();
        text.is_empty() || (!self.is_quoted && matches!(text, "~" | "null" | "Null" | "NULL"))
    }

    /// Reads a duration as Go writes it; a number without quotes is one of nanoseconds.
    // C28
    pub(super) fn duration(&self) -> Result<Duration, Refusal> {
        let text = self.as_str();
        let is_number = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        if is_number && (!self.is_quoted || text == "0") {
            let nanos = text.parse::<u64>().ok().filter(|nanos| i64::try_from(*nanos).is_ok());
            return nanos.map(Duration::from_nanos).ok_or_else(|| DURATION.to_owned());
        }
        parse_duration(text).ok_or_else(|| DURATION.to_owned())
    }

    /// Reads a number of this type.
    pub(super) fn number<N: std::str::FromStr>(&self) -> Result<N, Refusal> {
        let text = self.as_str();
        let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let number = digits.then(|| text.parse().ok()).flatten();
        number.ok_or_else(|| "give a whole number that is not negative, nor too large".to_owned())
    }

    /// Reads what is on or off, in the spellings that Go takes.
    pub(super) fn switch(&self) -> Result<bool, Refusal> {
        match self.as_str() {
            "true" | "True" | "TRUE" | "t" | "T" | "1" => Ok(true),
            "false" | "False" | "FALSE" | "f" | "F" | "0" => Ok(false),
            _ => Err("give true or false".to_owned()),
        }
    }
}

/// Reads a duration as Go's `time.ParseDuration` does, except for negative ones.
fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.strip_prefix('+').unwrap_or(text);
    let mut total: u128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (whole, after) = digits(rest);
        let (fraction, after) = match after.strip_prefix('.') {
            Some(after) => digits(after),
            None => ("", after),
        };
        if whole.is_empty() && fraction.is_empty() {
            return None;
        }
        let end = after.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(after.len());
        let unit = unit(&after[..end])?;
        let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
        total += u128::from(whole) * u128::from(unit) + part_of(unit, fraction);
        if total > i64::MAX as u128 {
            return None;
        }
        rest = &after[end..];
    }
    u64::try_from(total).ok().map(Duration::from_nanos)
}

/// Splits a text after the digits that it begins with.
fn digits(text: &str) -> (&str, &str) {
    text.split_at(text.bytes().take_while(u8::is_ascii_digit).count())
}

/// Returns a unit in nanoseconds.
fn unit(name: &str) -> Option<u64> {
    Some(match name {
        "ns" => 1,
        // The micro sign, and the Greek letter.
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60 * 1_000_000_000,
        "h" => 3600 * 1_000_000_000,
        _ => return None,
    })
}

/// Returns the part of a unit that the digits after a point stand for, rounded down.
fn part_of(unit: u64, digits: &str) -> u128 {
    // Further digits are less than a nanosecond of an hour.
    let digits = &digits[..digits.len().min(15)];
    let scale = (0..digits.len()).fold(1_u128, |scale, _| scale * 10);
    let part: u128 = digits.parse().unwrap_or(0);
    part * u128::from(unit) / scale
}

#[cfg(test)]
mod tests {
    use super::*;

    // C28
    #[test]
    fn durations_are_those_of_go() {
        let cases = [
            ("0", 0),
            ("0s", 0),
            ("5s", 5_000_000_000),
            ("+5s", 5_000_000_000),
            ("500ms", 500_000_000),
            ("1m30s", 90_000_000_000),
            ("1.5h", 5_400_000_000_000),
            (".5s", 500_000_000),
            ("1.s", 1_000_000_000),
            ("1us2ns", 1_002),
            ("1\u{b5}s", 1_000),
            ("3\u{3bc}s", 3_000),
            ("0.3333333333333333333h", 1_199_999_999_999),
            ("9223372036s", 9_223_372_036_000_000_000),
        ];
        for (text, nanos) in cases {
            let read = Text::quoted(text).duration().unwrap();
            assert_eq!(read, Duration::from_nanos(nanos), "{text}");
        }
        let huge = "99999999999999999999s";
        let bad =
            ["", "5", "5x", "s", ".s", "-5s", "5 s", "5s ", "1d", "9223372037s", huge, "é", "5sé"];
        for bad in bad {
            let error = Text::quoted(bad).duration().unwrap_err();
            assert!(error.contains("such as 5s"), "{bad}");
        }
    }

    #[test]
    fn switches_and_numbers_are_read_strictly() {
        assert!(Text::quoted("TRUE").switch().unwrap() && !Text::quoted("0").switch().unwrap());
        assert_eq!(Text::quoted("42").number::<u32>(), Ok(42));
        for bad in ["", "yes", "-1", "+1", "1.0", "4294967296"] {
            assert!(Text::quoted(bad).switch().is_err(), "{bad}");
            assert!(Text::quoted(bad).number::<u32>().is_err(), "{bad}");
        }
    }
}
