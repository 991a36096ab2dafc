//! `Date`, RFC 3261 §20.17: `Sat, 13 Nov 2010 23:29:00 GMT` and no other zone.

use crate::sip::text::{number, trim};
use crate::time::Timestamp;
use std::fmt;

const DAYS: [&str; 7] = ["Thu", "Fri", "Sat", "Sun", "Mon", "Tue", "Wed"];
const MONTHS: [&str; 12] = [
    "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
];

/// A date that prints itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Date(pub Timestamp);

impl Date {
    /// `None` for anything but the one format; the weekday is not compared with the date.
    pub fn parse(value: &str) -> Option<Date> {
        let mut words = trim(value).split([' ', '\t']).filter(|w| !w.is_empty());
        let mut next = || words.next();
        let day_name = next()?.strip_suffix(',')?;
        let (day, month, year) = (number::<i64>(next()?)?, next()?, number::<i64>(next()?)?);
        let mut clock = next()?.split(':').map(number::<u64>);
        let (hour, minute, second) = (clock.next()??, clock.next()??, clock.next()??);
        let month = MONTHS.iter().position(|m| m.eq_ignore_ascii_case(month))?;
        let sound = next()? == "GMT"
            && next().is_none()
            && clock.next().is_none()
            && DAYS.iter().any(|d| d.eq_ignore_ascii_case(day_name));
        if !sound
            || !(1..=31).contains(&day)
            || !(1970..=9999).contains(&year)
            || hour > 23
            || minute > 59
            || second > 60
        {
            return None;
        }
        let days = u64::try_from(days_from_civil(year, month + 1, day)).ok()?;
        Some(Date(Timestamp(
            (((days * 24 + hour) * 60 + minute) * 60 + second) * 1000,
        )))
    }
}

/// Days since 1970-01-01 of a date of the Gregorian calendar, counted in years that start in March.
fn days_from_civil(year: i64, month: usize, day: i64) -> i64 {
    let month = i64::try_from(month).unwrap_or(1);
    let year = if month <= 2 { year - 1 } else { year };
    let (era, of_era) = (year.div_euclid(400), year.rem_euclid(400));
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468
}

/// The reverse: year, month from 1, day.
fn civil_from_days(days: i64) -> (i64, usize, i64) {
    let shifted = days + 719_468;
    let (era, of_era) = (shifted.div_euclid(146_097), shifted.rem_euclid(146_097));
    let year = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let march = (5 * of_year + 2) / 153;
    let month = usize::try_from(if march < 10 { march + 3 } else { march - 9 }).unwrap_or(1);
    (
        year + era * 400 + i64::from(month <= 2),
        month,
        of_year - (153 * march + 2) / 5 + 1,
    )
}

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = self.0.0 / 1000;
        let (days, rest) = (seconds / 86_400, seconds % 86_400);
        let (year, month, day) = civil_from_days(i64::try_from(days).unwrap_or(0));
        let day_name = DAYS
            .get(usize::try_from(days % 7).unwrap_or(0))
            .copied()
            .unwrap_or("Thu");
        let month_name = MONTHS.get(month - 1).copied().unwrap_or("Jan");
        write!(
            f,
            "{day_name}, {day:02} {month_name} {year:04} {:02}:{:02}:{:02} GMT",
            rest / 3600,
            rest / 60 % 60,
            rest % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_read_and_printed() {
        for (text, seconds) in [
            ("Thu, 01 Jan 1970 00:00:00 GMT", 0),
            ("Sat, 13 Nov 2010 23:29:00 GMT", 1_289_690_940),
            ("Tue, 29 Feb 2000 12:00:00 GMT", 951_825_600),
            ("Sun, 01 Mar 2099 00:00:00 GMT", 4_076_006_400),
        ] {
            let date = Date(Timestamp(seconds * 1000));
            assert_eq!(Date::parse(text), Some(date), "{text}");
            assert_eq!(date.to_string(), text);
        }
        for text in [
            "",
            "Fri, 01 Jan 2010 16:00:00 EST",
            "01 Jan 2010 16:00:00 GMT",
            "Fri, 32 Jan 2010 16:00:00 GMT",
            "Fri, 01 Foo 2010 16:00:00 GMT",
            "Fri, 01 Jan 2010 24:00:00 GMT",
        ] {
            assert_eq!(Date::parse(text), None, "{text}");
        }
    }
}
