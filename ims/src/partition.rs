//! Partitions: everything about one presentity belongs to one, named by a hash of its address of record.

use crate::sip::Aor;

/// Number of partitions. It is in every dialog tag and branch: changing it strands live dialogs.
pub const PARTITIONS: u16 = 4096;

/// The partition of a presentity, the same in every version and on every node (FNV-1a, folded to 12 bits).
pub fn of(presentity: &Aor) -> u16 {
    let fold = |hash: u64, byte: u8| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3);
    let hash = presentity
        .as_str()
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325, fold);
    ((hash ^ (hash >> 32)) % u64::from(PARTITIONS)) as u16
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_presentity_keeps_its_partition_in_every_version() {
        let partition = |text: &str| Aor::parse(text).map(|aor| of(&aor));
        assert_eq!(
            partition("sip:alice@ims.test"),
            partition("sip:alice@IMS.TEST;user=phone")
        );
        let spread: std::collections::BTreeSet<_> = (0..1000)
            .map(|n| partition(&format!("sip:u{n}@ims.test")))
            .collect();
        assert!(
            spread.len() > 850,
            "1000 names fall into {} partitions",
            spread.len()
        );
    }
}
