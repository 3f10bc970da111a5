//! Where a master key comes from.

use std::path::PathBuf;

use zeroize::Zeroizing;

use super::master_key::{MasterKey, MasterKeyError};

/// Gives a master key when Proctor starts.
///
/// A setting and a file are here. A key management service is one more: it keeps a key of its own,
/// and opens with it the master key that stands sealed beside the configuration.
pub trait KeySource {
    /// The key.
    ///
    /// # Errors
    /// When it cannot be had, or is none that may be used.
    fn key(&self) -> Result<MasterKey, MasterKeyError>;
}

/// The key itself, in base64.
pub struct InText(pub Zeroizing<String>);

/// A file that holds the key in base64, such as a secret that a container finds mounted.
pub struct InFile(pub PathBuf);

impl KeySource for InText {
    fn key(&self) -> Result<MasterKey, MasterKeyError> {
        MasterKey::from_base64(&self.0)
    }
}

impl KeySource for InFile {
    fn key(&self) -> Result<MasterKey, MasterKeyError> {
        let text = std::fs::read_to_string(&self.0).map(Zeroizing::new);
        MasterKey::from_base64(&text.map_err(|error| MasterKeyError::Unreadable(error.to_string()))?)
    }
}
