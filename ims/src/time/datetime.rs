//! `xs:dateTime` (XML Schema part 2 §3.2.7) to and from milliseconds since the epoch.

use crate::time::Timestamp;

/// Days from 1970-01-01 to a date of the proleptic Gregorian calendar.
fn days_from_civil(year: i64, month: u32, day: u32) -> i64 {
    // Years begin in March here, so that the leap day is the last of its year; 400 years are 146,097 days.
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let of_era = year.rem_euclid(400);
    let of_year = i64::from((153 * ((month + 9) % 12) + 2) / 5 + day - 1);
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let year_of_era = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month_from_march + 2) / 5 + 1;
    let month = if month_from_march < 10 {
        month_from_march + 3
    } else {
        month_from_march - 9
    };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

fn is_leap(year: i64) -> bool {
    year.rem_euclid(4) == 0 && (year.rem_euclid(100) != 0 || year.rem_euclid(400) == 0)
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if is_leap(year) => 29,
        2 => 28,
        _ => 31,
    }
}

/// Reads the field of exactly `digits` digits at the front.
fn field(text: &mut &[u8], digits: usize) -> Option<u32> {
    let (head, rest) = text.split_at_checked(digits)?;
    let value = head.iter().try_fold(0u32, |value, b| {
        b.is_ascii_digit().then(|| value * 10 + u32::from(b - b'0'))
    })?;
    *text = rest;
    Some(value)
}

fn expect(text: &mut &[u8], byte: u8) -> Option<()> {
    *text = text.strip_prefix(&[byte])?;
    Some(())
}

/// An instant, in milliseconds since the epoch, which may lie before it. `None` when the text is not an
/// `xs:dateTime`. A time without zone is taken as UTC. Years are of four digits: enough for presence.
pub fn parse(text: &str) -> Option<i64> {
    let mut rest = text.trim_matches([' ', '\t', '\r', '\n']).as_bytes();
    let year = i64::from(field(&mut rest, 4)?);
    expect(&mut rest, b'-')?;
    let month = field(&mut rest, 2)?;
    expect(&mut rest, b'-')?;
    let day = field(&mut rest, 2)?;
    expect(&mut rest, b'T')?;
    let hour = field(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let minute = field(&mut rest, 2)?;
    expect(&mut rest, b':')?;
    let second = field(&mut rest, 2)?;
    let millis = fraction(&mut rest)?;
    let offset = zone(rest)?;
    let midnight = hour == 24 && minute == 0 && second == 0 && millis == 0;
    if year == 0 || !(1..=12).contains(&month) || day == 0 || day > days_in_month(year, month) {
        return None;
    }
    if (hour > 23 && !midnight) || minute > 59 || second > 59 {
        return None;
    }
    let seconds =
        days_from_civil(year, month, day) * 86_400 + i64::from(hour * 3600 + minute * 60 + second);
    Some((seconds - offset * 60) * 1000 + millis)
}

/// Milliseconds of `.123456`; nothing there is zero, a dot without digits is an error.
fn fraction(rest: &mut &[u8]) -> Option<i64> {
    let Some(digits) = rest.strip_prefix(b".") else {
        return Some(0);
    };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let millis = (0..3).fold(0, |value, i| {
        value * 10
            + if i < count {
                i64::from(digits[i] - b'0')
            } else {
                0
            }
    });
    *rest = &digits[count..];
    Some(millis)
}

/// Minutes east of UTC.
fn zone(rest: &[u8]) -> Option<i64> {
    let (sign, mut rest) = match rest.split_first() {
        None | Some((b'Z', [])) => return Some(0),
        Some((b'+', rest)) => (1, rest),
        Some((b'-', rest)) => (-1, rest),
        Some(_) => return None,
    };
    let hours = i64::from(field(&mut rest, 2)?);
    expect(&mut rest, b':')?;
    let minutes = i64::from(field(&mut rest, 2)?);
    (rest.is_empty() && minutes <= 59 && (hours < 14 || (hours == 14 && minutes == 0)))
        .then_some(sign * (hours * 60 + minutes))
}

/// `2005-02-22T20:07:07Z`: whole seconds, UTC.
pub fn format(at: Timestamp) -> String {
    let seconds = i64::try_from(at.0 / 1000).unwrap_or(0).min(253_402_300_799); // end of year 9999
    let (year, month, day) = civil_from_days(seconds.div_euclid(86_400));
    let of_day = seconds.rem_euclid(86_400);
    format!(
        "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
        of_day / 3600,
        of_day / 60 % 60,
        of_day % 60
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instants_are_read() {
        for (case, text, expected) in [
            ("the epoch", "1970-01-01T00:00:00Z", Some(0)),
            (
                "an offset is subtracted",
                "2005-02-22T21:07:07+01:00",
                Some(1_109_102_827_000),
            ),
            (
                "the same instant in UTC",
                "2005-02-22T20:07:07Z",
                Some(1_109_102_827_000),
            ),
            (
                "fractions down to the millisecond",
                "1970-01-01T00:00:00.1239Z",
                Some(123),
            ),
            ("no zone is UTC", "1970-01-01T00:00:01", Some(1000)),
            ("before the epoch", "1969-12-31T23:59:59Z", Some(-1000)),
            ("leap day", "2024-02-29T00:00:00Z", Some(1_709_164_800_000)),
            ("no leap day", "2023-02-29T00:00:00Z", None),
            (
                "end of day written as 24:00:00",
                "1970-01-01T24:00:00Z",
                Some(86_400_000),
            ),
            ("24:00:01 does not exist", "1970-01-01T24:00:01Z", None),
            ("month 13", "1970-13-01T00:00:00Z", None),
            ("a space for the T", "1970-01-01 00:00:00Z", None),
            (
                "zone beyond fourteen hours",
                "1970-01-01T00:00:00+14:01",
                None,
            ),
            ("rubbish after the zone", "1970-01-01T00:00:00Zx", None),
            ("a dot without digits", "1970-01-01T00:00:00.Z", None),
            (
                "white space around is collapsed",
                " 1970-01-01T00:00:00Z\n",
                Some(0),
            ),
        ] {
            assert_eq!(parse(text), expected, "{case}");
        }
    }

    #[test]
    fn a_formatted_instant_reads_back_to_the_second() {
        for ms in [
            0,
            951_782_400_000,
            1_109_102_827_000,
            1_709_164_800_000,
            4_102_444_799_000,
        ] {
            assert_eq!(parse(&format(Timestamp(ms))), i64::try_from(ms).ok());
        }
    }
}
