//! Session-Id (RFC 6733 §8.8).

/// `<DiameterIdentity>;<high 32 bits>;<low 32 bits>;<optional value>`.
///
/// `number` must be unique on this host for as long as its store lives, and `salt` tells one store from the next;
/// then the value is "globally and eternally unique" as §8.8 asks. It is a function of both and nothing else, so a
/// record sent again after a restart has the same one and is recognised as a duplicate (§9.4).
pub fn session_id(origin_host: &str, number: u64, salt: u64) -> String {
    let (high, low) = (number >> 32, number & 0xffff_ffff);
    format!("{origin_host};{high};{low};{salt}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_halves_of_the_number_are_there() {
        assert_eq!(
            session_id("ps.ims.test", (7 << 32) | 42, 9),
            "ps.ims.test;7;42;9"
        );
        assert_eq!(
            session_id("ps.ims.test", u64::MAX, 0),
            "ps.ims.test;4294967295;4294967295;0"
        );
    }
}
