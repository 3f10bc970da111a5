//! Keyed hashes: blind indexes, by which personal values are found without being stored, and
//! digests that stand in the record for what is not kept.
//!
//! HMAC-SHA256 (RFC 2104): without the key, a guess of a user or an argument cannot be checked.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::sealed::KEY_BYTES;

/// Length of a keyed hash.
pub const KEYED_HASH_BYTES: usize = 32;

/// A key that hashes, prepared once.
pub(super) struct KeyedHash(Hmac<Sha256>);

impl KeyedHash {
    pub(super) fn new(key: &[u8; KEY_BYTES]) -> Self {
        Self(Hmac::new_from_slice(key).expect("HMAC takes keys of every length (RFC 2104, 2)"))
    }

    /// Hashes the fields, each with its length in front, under the name of their use.
    pub(super) fn hash(&self, use_name: &str, fields: &[&[u8]]) -> [u8; KEYED_HASH_BYTES] {
        let mut mac = self.0.clone();
        for field in std::iter::once(&use_name.as_bytes()).chain(fields) {
            mac.update(&(field.len() as u64).to_be_bytes());
            mac.update(field);
        }
        mac.finalize().into_bytes().into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_hash_depends_on_key_use_and_on_where_fields_end() {
        let hash = KeyedHash::new(&[1; 32]);
        let base = hash.hash("label", &[b"ab", b"c"]);
        assert_eq!(base, hash.hash("label", &[b"ab", b"c"]));
        assert_ne!(base, hash.hash("label", &[b"a", b"bc"]));
        assert_ne!(base, hash.hash("user", &[b"ab", b"c"]));
        assert_ne!(base, KeyedHash::new(&[2; 32]).hash("label", &[b"ab", b"c"]));
    }
}
