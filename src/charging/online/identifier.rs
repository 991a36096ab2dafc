//! End-to-End Identifiers of credit-control requests (RFC 6733 §3): the same at each sending of a request, also after a
//! kill, and not seen again within the four minutes for which servers remember them.

/// Requests of one charge that have a place of their own.
const PLACES: u64 = 16;

/// The identifier of a request, by the number of its charge and its place in it. The first bit belongs to the node, and
/// the second tells it from those of records, which have the same numbers.
///
/// A number begins with its millisecond, of which 18 bits go round in 4.4 minutes, and counts within it. A session with
/// more requests than have a place has a hash for each of those: two are the same with a chance of one in 2^30.
pub fn end_to_end(number: u64, request: u32) -> u32 {
    let request = u64::from(request);
    let bits = if request < PLACES {
        let millisecond = number >> 20 & 0x3_ffff;
        millisecond << 12 | (number & 0xff) << 4 | request
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

    #[test]
    fn no_identifier_comes_twice_in_four_minutes() {
        let start = 1_795_416_525_221_u64;
        let mut seen = BTreeSet::new();
        for milli in (0..240_000).step_by(7) {
            for (count, request) in [(0, 0), (0, 1), (1, 0), (255, 15)] {
                let id = end_to_end((start + milli) << 20 | count, request);
                assert!(seen.insert(id), "{milli} ms, {count}, {request}");
                assert_eq!(id >> 30, 1, "neither the node's nor a record's");
            }
        }
        // one session that asks and asks
        let long: BTreeSet<u32> = (0..10_000).map(|n| end_to_end(start << 20, n)).collect();
        assert!(long.len() > 9_990, "{}", long.len());
    }
}
