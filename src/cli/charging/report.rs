//! `presentia charging report`: what became of all events and of all charges, hour by hour and peer by peer.

use super::super::terminal::{line, say};
use super::super::{Exit, Failure};
use crate::charging::accounts::{Hour, Report};
use crate::charging::online::accounts::{Counts, Hour as CreditHour};

/// A table, and a failure where records are missing: for scripts.
pub(super) fn run(report: &Report, json: bool) -> Result<(), Failure> {
    if json {
        // plain structs of text and numbers always serialise
        say(&serde_json::to_string(report).unwrap_or_default());
    } else {
        say("hour\temitted\tacknowledged\tquarantined\texported\twaiting\tmissing\tresent");
        for hour in &report.hours {
            print_hour(hour);
        }
        let Report {
            open,
            damaged,
            unaccounted,
            waiting_bytes,
            ..
        } = report;
        say(&format!(
            "gathering NOTIFYs: {open}; damaged: {damaged}; of a version without accounts: {unaccounted}; bytes waiting: {waiting_bytes}"
        ));
        credit(&report.credit);
    }
    match report.adds_up {
        true => Ok(()),
        false => Err(Failure::new(Exit::Failed, "the accounts do not add up")),
    }
}

fn print_hour(hour: &Hour) {
    let Hour {
        emitted,
        acknowledged,
        quarantined,
        exported,
        waiting,
        missing,
        resent,
        ..
    } = hour;
    say(&format!(
        "{}\t{emitted}\t{acknowledged}\t{quarantined}\t{exported}\t{waiting}\t{missing}\t{resent}",
        time_of(hour.hour)
    ));
    if !hour.adds_up() {
        say(&format!("  missing, by sequence: {}", hour.missing_names()));
    }
    for (name, peer) in &hour.peers {
        let name = if name.is_empty() { "-" } else { name };
        say(&format!(
            "  {}\t\t{}\t{}\t\t\t\t{}",
            line(name),
            peer.acknowledged,
            peer.refused,
            peer.resent
        ));
    }
}

/// `2026-11-23T14Z` of an hour since 1970.
fn time_of(hour: u32) -> String {
    let (days, hour) = (i64::from(hour / 24), hour % 24);
    // days since 0000-03-01 in eras of 400 years: leap days end their years (Gregorian calendar)
    let days = days + 719_468;
    let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
    let year = (day - day / 1_460 + day / 36_524 - day / 146_096) / 365;
    let day = day - (365 * year + year / 4 - year / 100);
    let month = (5 * day + 2) / 153;
    let date = day - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    let year = year + era * 400 + i64::from(month <= 2);
    format!("{year:04}-{month:02}-{date:02}T{hour:02}Z")
}

/// Three tables: charges and what became of them, the list of what nobody pays, and requests with their answers.
fn credit(hours: &[CreditHour]) {
    if hours.is_empty() {
        return; // credit is not asked for
    }
    say(
        "charges\tasked\tsettled\tfree\tno credit\trefused\tunavailable\treturned\tgiven up\topen\tmissing",
    );
    for hour in hours {
        let (asked, open, missing) = (hour.asked, hour.open, hour.missing);
        let ends = ends(&hour.all);
        say(&format!(
            "{}\t{asked}\t{ends}\t{open}\t{missing}",
            time_of(hour.hour)
        ));
        each_ocs(hour, |ocs| {
            (ocs.ended() > 0).then(|| format!("\t{}\t\t", self::ends(ocs)))
        });
    }
    if hours.iter().any(|hour| hour.all.listed > 0) {
        say("unpaid\tlisted\tcollected\tforgotten\ton the list\tmissing");
    }
    for hour in hours.iter().filter(|hour| hour.all.listed > 0) {
        let (all, unpaid, missing) = (&hour.all, hour.unpaid, hour.unpaid_missing);
        let time = time_of(hour.hour);
        let Counts {
            listed,
            collected,
            forgotten,
            ..
        } = all;
        say(&format!(
            "{time}\t{listed}\t{collected}\t{forgotten}\t{unpaid}\t{missing}"
        ));
        each_ocs(hour, |ocs| {
            let Counts {
                listed, collected, ..
            } = ocs;
            (listed + collected > 0).then(|| format!("{listed}\t{collected}\t\t\t"))
        });
    }
    say("CCRs\tsent\tresent\trefunds\t2xxx\t3xxx\t4xxx\t5xxx\tother\tunanswered\tnot sent\tunits");
    for hour in hours.iter().filter(|hour| hour.all.asks()) {
        say(&format!("{}\t{}", time_of(hour.hour), requests(&hour.all)));
        each_ocs(hour, |ocs| ocs.asks().then(|| requests(ocs)));
    }
}

fn each_ocs(hour: &CreditHour, show: impl Fn(&Counts) -> Option<String>) {
    for (name, ocs) in &hour.ocss {
        if let Some(shown) = show(ocs) {
            let name = if name.is_empty() { "-" } else { name };
            say(&format!("  {}\t{shown}", line(name)));
        }
    }
}

fn ends(counts: &Counts) -> String {
    let Counts {
        settled,
        free,
        no_credit,
        refused,
        unavailable,
        returned,
        given_up,
        ..
    } = counts;
    format!("{settled}\t{free}\t{no_credit}\t{refused}\t{unavailable}\t{returned}\t{given_up}")
}

fn requests(counts: &Counts) -> String {
    let Counts {
        requests,
        resent,
        refunds,
        success,
        protocol,
        transient,
        permanent,
        odd,
        unanswered,
        unsent,
        units,
        ..
    } = counts;
    format!(
        "{requests}\t{resent}\t{refunds}\t{success}\t{protocol}\t{transient}\t{permanent}\t{odd}\t{unanswered}\t{unsent}\t{units}"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_hour_is_written_as_its_date() {
        for (hour, expected) in [
            (0, "1970-01-01T00Z"),
            (24 * 58 + 23, "1970-02-28T23Z"),
            (24 * (365 * 30 + 7 + 59), "2000-02-29T00Z"),
            (498_726, "2026-11-23T06Z"),
        ] {
            assert_eq!(time_of(hour), expected);
        }
    }
}
