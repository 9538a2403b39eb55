//! Tokens: the secret by which a client proves who it is, or that a lock is its own.
//!
//! A token is never kept and never shown. Only its hash is kept, and two hashes are compared in
//! constant time.

use std::fmt;

use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq;

/// The hash of a token.
#[derive(Clone, Copy)]
pub struct TokenHash([u8; 32]);

impl TokenHash {
    /// The hash of this token.
    pub fn of(token: &[u8]) -> Self {
        TokenHash(Sha256::digest(token).into())
    }

    /// The bytes of the hash: SHA-256 of the token.
    pub fn bytes(&self) -> &[u8; 32] {
        &self.0
    }
}

impl From<[u8; 32]> for TokenHash {
    fn from(hash: [u8; 32]) -> Self {
        TokenHash(hash)
    }
}

impl PartialEq for TokenHash {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&other.0).into()
    }
}

impl Eq for TokenHash {}

impl fmt::Debug for TokenHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TokenHash(..)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_compared_and_never_shown() {
        let hash = TokenHash::of(b"swordfish");
        assert_eq!(hash, TokenHash::of(b"swordfish"));
        assert_ne!(hash, TokenHash::of(b"swordfisH"));
        assert_eq!(format!("{hash:?}"), "TokenHash(..)");
    }
}
