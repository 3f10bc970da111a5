//! The master keys at hand: one seals, and while the master key is rotated a second one opens too.
//!
//! **Invariants.** Nothing is sealed by the second key.

use std::fmt;

use super::master_key::MasterKey;
use super::sealed::{Identity, KeyBytes, KeyId, OpenError, Sealer, sealed_by};

/// The master key that seals, and one that only opens: the next one before a rotation, the previous
/// one until everything is sealed anew. Cheap to clone.
#[derive(Clone)]
pub struct MasterKeys {
    first: MasterKey,
    second: Option<MasterKey>,
}

impl MasterKeys {
    /// Seals with `first`; opens with both.
    #[must_use]
    pub fn new(first: MasterKey, second: Option<MasterKey>) -> Self {
        Self { first, second }
    }

    /// Names the key that seals.
    #[must_use]
    pub fn id(&self) -> KeyId {
        self.first.id()
    }

    /// Seals for the first key what another one sealed; nothing where the first one did.
    ///
    /// # Errors
    /// When no key at hand sealed it, or it was changed or belongs to another record.
    pub fn reseal(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<Option<Vec<u8>>, OpenError> {
        if sealed_by(sealed) == Some(self.id()) {
            return Ok(None);
        }
        let plain = zeroize::Zeroizing::new(self.open(identity, sealed)?);
        Ok(Some(self.seal(identity, &plain)))
    }

    pub(super) fn seal(&self, identity: Identity<'_>, plain: &[u8]) -> Vec<u8> {
        self.first.sealer().seal(identity, plain)
    }

    pub(super) fn open(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.sealer_of(sealed).open(identity, sealed)
    }

    pub(super) fn open_key(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<KeyBytes, OpenError> {
        self.sealer_of(sealed).open_key(identity, sealed)
    }

    /// The key that sealed it; the first one, which then says why it does not open, where none did.
    fn sealer_of(&self, sealed: &[u8]) -> &Sealer {
        let by = sealed_by(sealed);
        match &self.second {
            Some(second) if by == Some(second.id()) => second.sealer(),
            Some(_) | None => self.first.sealer(),
        }
    }
}

impl From<MasterKey> for MasterKeys {
    fn from(only: MasterKey) -> Self {
        Self::new(only, None)
    }
}

/// The names of all keys that open, the sealing one first, separated by commas.
impl fmt::Display for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.first.id())?;
        self.second.iter().try_for_each(|key| write!(f, ",{}", key.id()))
    }
}

impl fmt::Debug for MasterKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("MasterKeys(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDENTITY: Identity<'_> = Identity::WebhookSecret { webhook: "whk_1", generation: 1 };

    #[test]
    fn both_keys_open_and_only_the_first_seals() {
        let (old, new) = (MasterKey::generate().0, MasterKey::generate().0);
        let before = MasterKeys::from(old.clone());
        let during = MasterKeys::new(new.clone(), Some(old.clone()));
        let sealed_before = before.seal(IDENTITY, b"x");
        let sealed_during = during.seal(IDENTITY, b"y");
        assert_eq!(during.open(IDENTITY, &sealed_before).unwrap(), b"x");
        assert_eq!(during.open(IDENTITY, &sealed_during).unwrap(), b"y");
        assert_eq!(sealed_by(&sealed_during), Some(new.id()));
        assert_eq!(during.to_string(), format!("{},{}", new.id(), old.id()));
        assert!(before.open(IDENTITY, &sealed_during).is_err());
    }

    #[test]
    fn what_is_sealed_anew_opens_without_the_old_key_as_the_same_record_only() {
        let (old, new) = (MasterKey::generate().0, MasterKey::generate().0);
        let sealed = MasterKeys::from(old.clone()).seal(IDENTITY, b"x");
        let during = MasterKeys::new(new.clone(), Some(old));
        let resealed = during.reseal(IDENTITY, &sealed).unwrap().unwrap();
        let after = MasterKeys::from(new);
        assert_eq!(after.open(IDENTITY, &resealed).unwrap(), b"x");
        assert_eq!(during.reseal(IDENTITY, &resealed).unwrap(), None);
        let other = Identity::WebhookSecret { webhook: "whk_2", generation: 1 };
        assert!(after.open(other, &resealed).is_err());
        assert!(during.reseal(other, &sealed).is_err());
    }

    #[test]
    fn what_neither_key_sealed_names_the_key_that_did() {
        let (old, new, lost) = (MasterKey::generate().0, MasterKey::generate().0, MasterKey::generate().0);
        let sealed = MasterKeys::from(lost.clone()).seal(IDENTITY, b"x");
        let error = MasterKeys::new(new.clone(), Some(old)).reseal(IDENTITY, &sealed).unwrap_err();
        let what = IDENTITY.to_string();
        assert_eq!(error, OpenError::OtherKey { what, sealed_by: lost.id(), tried: new.id() });
    }
}
