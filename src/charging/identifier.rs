//! End-to-End Identifiers of our requests (RFC 6733 §3): the same at each sending of a request, also after a kill, and
//! not seen again within the four minutes for which servers remember them.
//!
//! The first bit belongs to the Diameter node, and the second tells questions for credit from records, which have the
//! same numbers. A number begins with its millisecond, of which 18 bits go round in 4.4 minutes, and counts within it.

/// Requests of one charge that have a place of their own.
const PLACES: u64 = 16;

/// Bits of a number that count within a millisecond.
const COUNT: u32 = 20;

/// A number in 18 bits of its millisecond, and so many of its count. What counts beyond these changes the first bits.
fn shortened(number: u64, bits: u32) -> u64 {
    let beyond = (number & ((1 << COUNT) - 1)) >> bits;
    let millisecond = (number >> COUNT ^ beyond << (18 + bits - COUNT)) & 0x3_ffff;
    millisecond << bits | number & ((1 << bits) - 1)
}

/// The identifier of a charging record, by its number.
pub fn of_record(number: u64) -> u32 {
    shortened(number, 12) as u32
}

/// The identifier of a request for credit, by the number of its charge, the sessions that it had before, and its place in
/// this one. A session with more requests than have a place has a hash for each of those, as have all in later sessions: two
/// are the same with a chance of one in 2^30.
pub fn of_question(number: u64, renewals: u32, request: u32) -> u32 {
    let request = u64::from(renewals) << 32 | u64::from(request);
    let bits = if request < PLACES {
        shortened(number, 8) << 4 | request
    } else {
        // the finisher of SplitMix64
        let mut x = number ^ request.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        x = (x ^ x >> 30).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        x = (x ^ x >> 27).wrapping_mul(0x94d0_49bb_1331_11eb);
        x ^ x >> 31
    };
    (bits & 0x3fff_ffff) as u32 | 1 << 30
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// A millisecond of 2026.
    const START: u64 = 1_795_416_525_221;

    #[test]
    fn no_identifier_comes_twice_in_four_minutes() {
        let mut seen = BTreeSet::new();
        for milli in (0..240_000).step_by(7) {
            for (count, request) in [(0, 0), (0, 1), (1, 0), (255, 15)] {
                let number = (START + milli) << COUNT | count;
                let id = of_question(number, 0, request);
                assert!(seen.insert(id), "{milli} ms, {count}, {request}");
                assert_eq!(id >> 30, 1, "neither the node's nor a record's");
            }
            for count in [0, 1, 4_095] {
                let id = of_record((START + milli) << COUNT | count);
                assert!(seen.insert(id), "{milli} ms, record {count}");
                assert_eq!(id >> 30, 0, "neither the node's nor a question's");
            }
        }
    }

    #[test]
    fn many_in_a_millisecond_differ_all_the_same() {
        let records: BTreeSet<u32> = (0..1 << 18)
            .map(|n| of_record(START << COUNT | n))
            .collect();
        assert_eq!(records.len(), 1 << 18);
        let charges = (0..1 << 14).map(|n| of_question(START << COUNT | n, 0, 1));
        assert_eq!(charges.collect::<BTreeSet<u32>>().len(), 1 << 14);
        // one session that asks and asks
        let long: BTreeSet<u32> = (0..10_000)
            .map(|n| of_question(START << COUNT, 0, n))
            .collect();
        assert!(long.len() > 9_990, "{}", long.len());
        // one that is opened again and again
        let renewed: BTreeSet<u32> = (0..1_000)
            .flat_map(|renewals| (0..3).map(move |n| of_question(START << COUNT, renewals, n)))
            .collect();
        assert!(renewed.len() > 2_990, "{}", renewed.len());
    }
}
