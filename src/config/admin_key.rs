//! The first administrator's API key.

use std::fmt;

use zeroize::Zeroizing;

/// Fewest characters of the key.
pub const ADMIN_KEY_CHARS_MIN: usize = 32;
/// Most characters of the key: it travels in a header.
pub const ADMIN_KEY_CHARS_MAX: usize = 512;

/// A secret that is never printed, and wiped when dropped.
#[derive(Clone)]
pub struct AdminKey(Zeroizing<String>);

/// Why a text cannot be the key. Says nothing of the text but its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AdminKeyError {
    /// Nothing there.
    #[error("it is not set: make one with `openssl rand -hex 32`")]
    Missing,
    /// Too short or too long.
    #[error(
        "it has {chars} characters, and must have {ADMIN_KEY_CHARS_MIN} to {ADMIN_KEY_CHARS_MAX}: make \
         one with `openssl rand -hex 32`"
    )]
    Length {
        /// How many it has.
        chars: usize,
    },
    /// Unfit for a header.
    #[error(
        "it has spaces or characters outside ASCII, which cannot travel in an Authorization header: \
         make one with `openssl rand -hex 32`"
    )]
    Characters,
    /// One character over and over.
    #[error("it repeats one character and can be guessed: make one with `openssl rand -hex 32`")]
    Guessable,
}

impl AdminKey {
    /// Reads a key.
    ///
    /// # Errors
    /// When it is absent, too short or long, guessable, or unfit for a header.
    pub fn parse(text: &str) -> Result<Self, AdminKeyError> {
        let chars = text.chars().count();
        if chars == 0 {
            Err(AdminKeyError::Missing)
        } else if !(ADMIN_KEY_CHARS_MIN..=ADMIN_KEY_CHARS_MAX).contains(&chars) {
            Err(AdminKeyError::Length { chars })
        } else if !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            Err(AdminKeyError::Characters)
        } else if text.bytes().all(|byte| text.as_bytes()[0] == byte) {
            Err(AdminKeyError::Guessable)
        } else {
            Ok(Self(Zeroizing::new(text.to_owned())))
        }
    }

    /// The key itself, for hashing. Not to be stored or shown.
    pub fn expose(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for AdminKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AdminKey(…)")
    }
}
