//! A hash of names and texts that is the same in every version, on every host.

/// A hash that is the same in every version, on every host (FNV-1a, then mixed so that names
/// that differ in one letter differ everywhere). Not for secrets.
pub fn stable_hash(bytes: &[u8]) -> u64 {
    let mut hash: u64 = 0xcbf2_9ce4_8422_2325;
    for byte in bytes {
        hash = (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
    }
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Names of sockets and files of running labs hold these; computed by another program.
    #[test]
    fn the_hash_never_changes() {
        for (text, hash) in [
            (&b""[..], 0xf52a_15e9_a9b5_e89b),
            (b"bench", 0x13b5_52ff_dfe8_29fb),
            (b"\xff", 0x4f2d_b50f_1240_40cd),
        ] {
            assert_eq!(stable_hash(text), hash, "{text:?}");
        }
    }
}
