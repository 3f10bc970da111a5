//! The keys that seal what is personal: one per subject, and one per session below it.
//!
//! Destroying a session's wrapped key erases what was sealed in that session; destroying a
//! subject's erases all of that subject's.
//!
//! **Invariants.** A data key leaves this module only wrapped by the key above it.

use std::fmt;

use zeroize::Zeroizing;

use super::master_keys::MasterKeys;
use super::sealed::{Identity, OpenError, Sealer, random_key};

/// Seals a subject's session keys and the caller's own identifier of the user.
pub struct SubjectKey(Sealer);

/// Seals what the events of one session say about a person. Expanded once: keep it while the
/// session is live.
pub struct SessionKey(Sealer);

impl SubjectKey {
    /// Makes a random key; the bytes are to be stored as the subject's wrapped key.
    pub(super) fn create(master: &MasterKeys, subject: &str) -> (Self, Vec<u8>) {
        let key = random_key();
        let wrapped = master.seal(Identity::SubjectKey { subject }, key.as_slice());
        (Self(Sealer::new(&key)), wrapped)
    }

    pub(super) fn unwrap(master: &MasterKeys, subject: &str, wrapped: &[u8]) -> Result<Self, OpenError> {
        let key = master.open_key(Identity::SubjectKey { subject }, wrapped)?;
        Ok(Self(Sealer::new(&key)))
    }

    /// Makes a random key for a session of this subject; the bytes are to be stored as the
    /// session's wrapped key.
    pub fn new_session_key(&self, session: &str) -> (SessionKey, Vec<u8>) {
        let key = random_key();
        let wrapped = self.0.seal(Identity::SessionKey { session }, key.as_slice());
        (SessionKey(Sealer::new(&key)), wrapped)
    }

    /// Opens a session's wrapped key.
    ///
    /// # Errors
    /// When it was wrapped by another subject's key, for another session, or changed.
    pub fn unwrap_session_key(&self, session: &str, wrapped: &[u8]) -> Result<SessionKey, OpenError> {
        let key = self.0.open_key(Identity::SessionKey { session }, wrapped)?;
        Ok(SessionKey(Sealer::new(&key)))
    }

    /// Seals the caller's own identifier of the user behind `subject`.
    pub fn seal_user(&self, subject: &str, user: &str) -> Vec<u8> {
        self.0.seal(Identity::User { subject }, user.as_bytes())
    }

    /// Opens what [`SubjectKey::seal_user`] sealed.
    ///
    /// # Errors
    /// When it belongs to another subject or was changed.
    pub fn open_user(&self, subject: &str, sealed: &[u8]) -> Result<Zeroizing<String>, OpenError> {
        let identity = Identity::User { subject };
        String::from_utf8(self.0.open(identity, sealed)?)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::content(identity))
    }

    /// Seals one generation of the user's credential for a connection.
    pub fn seal_credential(&self, subject: &str, connection: &str, generation: u32, plain: &str) -> Vec<u8> {
        self.0.seal(Identity::UserCredential { subject, connection, generation }, plain.as_bytes())
    }

    /// Opens what [`SubjectKey::seal_credential`] sealed. The text is wiped when dropped.
    ///
    /// # Errors
    /// When it belongs to another user, connection or generation, or was changed.
    pub fn open_credential(
        &self,
        subject: &str,
        connection: &str,
        generation: u32,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        let identity = Identity::UserCredential { subject, connection, generation };
        String::from_utf8(self.0.open(identity, sealed)?)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::content(identity))
    }

    /// Seals what a person brought by a link for a connection.
    pub fn seal_pending(&self, subject: &str, connection: &str, link: &str, plain: &str) -> Vec<u8> {
        self.0.seal(Identity::PendingCredential { subject, connection, link }, plain.as_bytes())
    }

    /// Opens what [`SubjectKey::seal_pending`] sealed. The text is wiped when dropped.
    ///
    /// # Errors
    /// When it belongs to another user, connection or link, or was changed.
    pub fn open_pending(
        &self,
        subject: &str,
        connection: &str,
        link: &str,
        sealed: &[u8],
    ) -> Result<Zeroizing<String>, OpenError> {
        let identity = Identity::PendingCredential { subject, connection, link };
        String::from_utf8(self.0.open(identity, sealed)?)
            .map(Zeroizing::new)
            .map_err(|_| OpenError::content(identity))
    }
}

impl SessionKey {
    /// Seals what the event `event` says about a person.
    pub fn seal_payload(&self, event: &str, plain: &[u8]) -> Vec<u8> {
        self.0.seal(Identity::Payload { event }, plain)
    }

    /// Opens what [`SessionKey::seal_payload`] sealed.
    ///
    /// # Errors
    /// When it belongs to another session or event, or was changed.
    pub fn open_payload(&self, event: &str, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        self.0.open(Identity::Payload { event }, sealed)
    }
}

impl fmt::Debug for SubjectKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SubjectKey(…)")
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn master() -> MasterKeys {
        crate::vault::MasterKey::generate().0.into()
    }

    #[test]
    fn a_payload_opens_through_the_wrapped_keys_alone() {
        let master = master();
        let (subject, wrapped_subject) = SubjectKey::create(&master, "sub_a");
        let (session, wrapped_session) = subject.new_session_key("ses_1");
        let sealed = session.seal_payload("evt_1", br#"{"to":"ann"}"#);

        let subject = SubjectKey::unwrap(&master, "sub_a", &wrapped_subject).unwrap();
        let session = subject.unwrap_session_key("ses_1", &wrapped_session).unwrap();
        assert_eq!(session.open_payload("evt_1", &sealed).unwrap(), br#"{"to":"ann"}"#);
    }

    #[test]
    fn a_wrapped_key_or_payload_moved_to_another_record_does_not_open() {
        let master = master();
        let (subject, wrapped_subject) = SubjectKey::create(&master, "sub_a");
        let (other_subject, _) = SubjectKey::create(&master, "sub_b");
        let (session, wrapped_session) = subject.new_session_key("ses_1");
        let (other_session, _) = subject.new_session_key("ses_2");
        let sealed = session.seal_payload("evt_1", b"x");

        assert!(SubjectKey::unwrap(&master, "sub_b", &wrapped_subject).is_err());
        assert!(subject.unwrap_session_key("ses_2", &wrapped_session).is_err());
        assert!(other_subject.unwrap_session_key("ses_1", &wrapped_session).is_err());
        assert!(session.open_payload("evt_2", &sealed).is_err());
        assert!(other_session.open_payload("evt_1", &sealed).is_err());
    }

    #[test]
    fn a_user_opens_only_for_its_own_subject() {
        let (subject, _) = SubjectKey::create(&master(), "sub_a");
        let sealed = subject.seal_user("sub_a", "ann@example.com");
        assert_eq!(*subject.open_user("sub_a", &sealed).unwrap(), "ann@example.com");
        assert!(subject.open_user("sub_b", &sealed).is_err());
    }

    #[test]
    fn a_credential_opens_only_for_its_user_connection_and_generation() {
        let master = master();
        let (subject, _) = SubjectKey::create(&master, "sub_a");
        let (other, _) = SubjectKey::create(&master, "sub_b");
        let sealed = subject.seal_credential("sub_a", "gmail", 2, "s3cret");
        assert_eq!(*subject.open_credential("sub_a", "gmail", 2, &sealed).unwrap(), "s3cret");
        assert!(subject.open_credential("sub_a", "gmail", 1, &sealed).is_err());
        assert!(subject.open_credential("sub_a", "drive", 2, &sealed).is_err());
        assert!(subject.open_credential("sub_b", "gmail", 2, &sealed).is_err());
        assert!(other.open_credential("sub_a", "gmail", 2, &sealed).is_err());
    }

    #[test]
    fn data_keys_print_nothing() {
        let (subject, _) = SubjectKey::create(&master(), "sub_a");
        let (session, _) = subject.new_session_key("ses_1");
        assert_eq!(format!("{subject:?} {session:?}"), "SubjectKey(…) SessionKey(…)");
    }
}
