//! The master key: the one secret that the operator keeps.
//!
//! **Invariants.** The key is never printed, stored or put into an error.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use zeroize::Zeroizing;

use super::sealed::{KEY_BYTES, KeyBytes, KeyId, Sealer, random_key};

/// Keys that stand in our documentation, and so in public.
const DOCUMENTED_KEYS: [&[u8; KEY_BYTES]; 1] = [b"this is proctor's example key 32"];

/// Seals the keys below it. Cheap to clone; the memory is wiped with the last clone.
#[derive(Clone)]
pub struct MasterKey(Arc<Sealer>);

/// Why a text is not a master key. Says nothing about the text but its length.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MasterKeyError {
    /// The file that should hold it cannot be read.
    #[error("its file cannot be read ({0}): name a file that Proctor may read")]
    Unreadable(String),
    /// Nothing there.
    #[error("it is empty: make one with `openssl rand -base64 32` and keep it safe")]
    Missing,
    /// Not base64.
    #[error("it is not base64: make one with `openssl rand -base64 32`")]
    NotBase64,
    /// Too few or too many bytes.
    #[error("it holds {bytes} bytes instead of 32: make one with `openssl rand -base64 32`")]
    Length {
        /// How many bytes it holds.
        bytes: usize,
    },
    /// Known to everyone, or a plain sequence.
    #[error("it is an example that anybody can guess: make your own with `openssl rand -base64 32`")]
    Example,
}

impl MasterKey {
    /// Reads 32 bytes of standard base64, with or without padding.
    ///
    /// # Errors
    /// When it is absent, malformed, of another length, or a well-known example.
    pub fn from_base64(text: &str) -> Result<Self, MasterKeyError> {
        let text = text.trim();
        if text.is_empty() {
            return Err(MasterKeyError::Missing);
        }
        let bytes = STANDARD
            .decode(text)
            .or_else(|_| STANDARD_NO_PAD.decode(text))
            .map(Zeroizing::new)
            .map_err(|_| MasterKeyError::NotBase64)?;
        let mut key = KeyBytes::default();
        if bytes.len() != KEY_BYTES {
            return Err(MasterKeyError::Length { bytes: bytes.len() });
        }
        key.copy_from_slice(&bytes);
        if is_example(&key) {
            return Err(MasterKeyError::Example);
        }
        Ok(Self(Arc::new(Sealer::new(&key))))
    }

    /// Makes a new random key and its text for [`MasterKey::from_base64`], for a data folder that
    /// keeps its own key.
    pub fn generate() -> (Self, Zeroizing<String>) {
        let key = random_key();
        let text = Zeroizing::new(STANDARD.encode(key.as_slice()));
        (Self(Arc::new(Sealer::new(&key))), text)
    }

    /// Names this key in everything that it seals.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.0.id()
    }

    pub(super) fn sealer(&self) -> &Sealer {
        &self.0
    }
}

impl fmt::Debug for MasterKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKey(…)")
    }
}

fn is_example(key: &[u8; KEY_BYTES]) -> bool {
    // One step from each byte to the next: all zeros, all the same, ascending, descending.
    let step = key[1].wrapping_sub(key[0]);
    let sequence = key.windows(2).all(|pair| pair[1].wrapping_sub(pair[0]) == step);
    sequence || DOCUMENTED_KEYS.contains(&key)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<MasterKey, MasterKeyError> {
        MasterKey::from_base64(&STANDARD.encode(bytes))
    }

    #[test]
    fn a_key_is_read_with_and_without_padding_and_keeps_its_id() {
        let (key, text) = MasterKey::generate();
        assert!(text.ends_with('='));
        for text in [text.as_str(), text.trim_end_matches('='), &format!("{}\n", *text)] {
            assert_eq!(MasterKey::from_base64(text).unwrap().id(), key.id());
        }
    }

    #[test]
    fn a_missing_malformed_short_or_long_key_is_refused_with_its_reason() {
        assert_eq!(MasterKey::from_base64(" ").unwrap_err(), MasterKeyError::Missing);
        assert_eq!(MasterKey::from_base64("not base64!").unwrap_err(), MasterKeyError::NotBase64);
        assert_eq!(read(&[1; 31]).unwrap_err(), MasterKeyError::Length { bytes: 31 });
        assert_eq!(read(&[1; 33]).unwrap_err(), MasterKeyError::Length { bytes: 33 });
    }

    #[test]
    fn a_key_that_anybody_can_guess_is_refused() {
        let ascending: Vec<u8> = (0..32).collect();
        let descending: Vec<u8> = (0..32).rev().collect();
        for key in [&[0; 32], &[0xab; 32], ascending.as_slice(), &descending, DOCUMENTED_KEYS[0]] {
            assert_eq!(read(key).unwrap_err(), MasterKeyError::Example);
        }
    }

    #[test]
    fn neither_the_key_nor_its_errors_print_the_key() {
        let (key, text) = MasterKey::generate();
        assert_eq!(format!("{key:?}"), "MasterKey(…)");
        let short = &text[..40];
        let error = MasterKey::from_base64(short).unwrap_err();
        assert!(!format!("{error} {error:?}").contains(&short[..8]));
    }
}
