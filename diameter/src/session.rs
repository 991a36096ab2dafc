//! Session-Id (RFC 6733 §8.8).

/// `<DiameterIdentity>;<high 32 bits>;<low 32 bits>;<optional value>`.
///
/// `number` must be unique on this host for as long as its store lives, and `salt` tells one store from the next;
/// then the value is "globally and eternally unique" as §8.8 asks. It is a function of both and nothing else, so a
/// record sent again after a restart has the same one and is recognised as a duplicate (§9.4).
pub fn session_id(origin_host: &str, number: u64, salt: u64) -> String {
    // Written digit by digit: each record has one, and each answer is compared with one.
    let mut id = String::with_capacity(origin_host.len() + 44);
    id.push_str(origin_host);
    for part in [number >> 32, number & 0xffff_ffff, salt] {
        id.push(';');
        push_decimal(&mut id, part);
    }
    id
}

fn push_decimal(text: &mut String, mut value: u64) {
    let mut digits = [b'0'; 20]; // as many as u64 has
    let mut start = digits.len();
    for (at, place) in digits.iter_mut().enumerate().rev() {
        *place = b'0' + (value % 10) as u8;
        value /= 10;
        start = at;
        if value == 0 {
            break;
        }
    }
    let written = digits.get(start..).map(std::str::from_utf8);
    text.push_str(written.and_then(Result::ok).unwrap_or_default()); // digits are always text
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
        assert_eq!(
            session_id("a", 10, u64::MAX),
            format!("a;0;10;{}", u64::MAX)
        );
    }
}
