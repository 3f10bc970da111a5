//! Values that a client keeps for us, sealed: page cursors, states of requests and legacy MCP session ids.
//!
//! All are URL-safe base64 without padding, so visible ASCII, as headers and JSON want it.
//!
//! **Invariants.** What a client hands back is read only after it was found to be ours, and never
//! longer than what we hand out.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::purpose_keys::PurposeKey;
use super::sealed::{Identity, OpenError, SEALED_OVERHEAD_BYTES, Sealer, sealed_by};

/// Most bytes that a cursor or an MCP session id holds: a header line has room for it.
pub const SEALED_TEXT_BYTES_MAX: usize = 4_096;

/// The same of a request's state, which travels in bodies.
pub const REQUEST_STATE_BYTES_MAX: usize = 65_536;

const fn text_chars(bytes_max: usize) -> usize {
    (bytes_max + SEALED_OVERHEAD_BYTES).div_ceil(3) * 4
}

/// More than fits into a text that a client keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("failed to seal {bytes} bytes for a client to keep: at most {bytes_max} fit; keep less in it")]
pub struct TooLong {
    /// How many there are.
    pub bytes: usize,
    /// How many there may be.
    pub bytes_max: usize,
}

/// What a legacy MCP session id says, so that any replica can serve the next request.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct McpSession {
    /// The protocol version that was agreed.
    pub protocol_version: String,
    /// The client's capabilities, as it declared them.
    pub client_capabilities: Box<RawValue>,
    /// Who the client says that it is.
    pub client_info: Box<RawValue>,
    /// Tells apart two clients on one token.
    pub nonce: String,
    /// The session of the token that it was issued to, `ses_…`.
    pub session: String,
}

fn bytes_max(identity: Identity<'_>) -> usize {
    match identity {
        Identity::RequestState { .. } => REQUEST_STATE_BYTES_MAX,
        _ => SEALED_TEXT_BYTES_MAX,
    }
}

/// The keys of one purpose: the first one seals, all open.
pub(super) struct Ring(Vec<Sealer>);

impl Ring {
    /// Takes the keys newest first, at least one.
    pub(super) fn new<'a>(keys: impl Iterator<Item = &'a PurposeKey>) -> Self {
        Self(keys.map(|key| Sealer::new(&key.bytes)).collect())
    }

    pub(super) fn seal(&self, identity: Identity<'_>, plain: &[u8]) -> Result<String, TooLong> {
        let bytes_max = bytes_max(identity);
        if plain.len() > bytes_max {
            return Err(TooLong { bytes: plain.len(), bytes_max });
        }
        Ok(URL_SAFE_NO_PAD.encode(self.seal_bytes(identity, plain)))
    }

    /// The same for what we keep ourselves.
    pub(super) fn seal_bytes(&self, identity: Identity<'_>, plain: &[u8]) -> Vec<u8> {
        self.0[0].seal(identity, plain)
    }

    pub(super) fn open(&self, identity: Identity<'_>, text: &str) -> Result<Vec<u8>, OpenError> {
        let format = || OpenError::format(identity);
        if text.len() > text_chars(bytes_max(identity)) {
            return Err(format());
        }
        let sealed = URL_SAFE_NO_PAD.decode(text).map_err(|_| format())?;
        self.open_bytes(identity, &sealed)
    }

    pub(super) fn open_bytes(&self, identity: Identity<'_>, sealed: &[u8]) -> Result<Vec<u8>, OpenError> {
        let by = sealed_by(sealed).ok_or_else(|| OpenError::format(identity))?;
        // An unknown key is reported by the newest one.
        let sealer = self.0.iter().find(|sealer| sealer.id() == by).unwrap_or(&self.0[0]);
        sealer.open(identity, sealed)
    }
}

impl McpSession {
    pub(super) fn seal(&self, ring: &Ring) -> Result<String, TooLong> {
        let plain = serde_json::to_vec(self).expect("text and raw JSON are always JSON");
        ring.seal(Identity::McpSession { session: &self.session }, &plain)
    }

    pub(super) fn open(ring: &Ring, session: &str, text: &str) -> Result<Self, OpenError> {
        let identity = Identity::McpSession { session };
        let plain = ring.open(identity, text)?;
        serde_json::from_slice(&plain).map_err(|_| OpenError::content(identity))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::vault::tests::{NOW_US, new_vault};
    use crate::vault::{McpSession, OpenError, SEALED_TEXT_BYTES_MAX, TooLong, Vault};

    fn mcp_session() -> McpSession {
        let raw = |text: &str| serde_json::value::RawValue::from_string(text.to_owned()).unwrap();
        McpSession {
            protocol_version: "2025-11-25".to_owned(),
            client_capabilities: raw(r#"{ "elicitation":{}, "x":1.50 }"#),
            client_info: raw(r#"{"name":"inspector","version":"2"}"#),
            nonce: "n1".to_owned(),
            session: "ses_1".to_owned(),
        }
    }

    #[test]
    fn an_mcp_session_id_is_visible_ascii_and_gives_back_what_the_client_said() {
        let (_, _, vault) = new_vault();
        let id = vault.seal_mcp_session(&mcp_session()).unwrap();
        assert!(id.bytes().all(|byte| byte.is_ascii_graphic()));
        let opened = vault.open_mcp_session("ses_1", &id).unwrap();
        assert_eq!(opened.client_capabilities.get(), r#"{ "elicitation":{}, "x":1.50 }"#);
        assert_eq!((opened.nonce.as_str(), opened.session.as_str()), ("n1", "ses_1"));
    }

    #[test]
    fn an_mcp_session_id_of_another_session_or_vault_does_not_open() {
        let (_, _, vault) = new_vault();
        let (_, _, other) = new_vault();
        let id = vault.seal_mcp_session(&mcp_session()).unwrap();
        assert!(matches!(vault.open_mcp_session("ses_2", &id), Err(OpenError::Altered { .. })));
        assert!(matches!(other.open_mcp_session("ses_1", &id), Err(OpenError::OtherKey { .. })));
    }

    #[test]
    fn a_cursor_is_not_an_mcp_session_id() {
        let (_, _, vault) = new_vault();
        let cursor = vault.seal_cursor(b"{}").unwrap();
        assert!(vault.open_mcp_session("ses_1", &cursor).is_err());
    }

    #[test]
    fn what_a_client_keeps_has_a_limit_both_ways() {
        let (_, _, vault) = new_vault();
        let most = vec![b'x'; SEALED_TEXT_BYTES_MAX];
        let cursor = vault.seal_cursor(&most).unwrap();
        assert_eq!(vault.open_cursor(&cursor).unwrap(), most);
        assert_eq!(
            vault.seal_cursor(&[0; SEALED_TEXT_BYTES_MAX + 1]),
            Err(TooLong { bytes: 4_097, bytes_max: 4_096 })
        );
        assert!(matches!(vault.open_cursor(&"A".repeat(6_000)), Err(OpenError::Format { .. })));
    }

    #[test]
    fn after_a_rotation_a_cursor_of_the_old_key_still_opens() {
        let (master, rows, vault) = new_vault();
        let cursor = vault.seal_cursor(b"page 2").unwrap();
        let mut all = Vault::missing_rows(&master, &[], NOW_US + 1).unwrap();
        all.extend(rows);
        let rotated = Vault::open(&master, &all, NOW_US + 1).unwrap();
        assert_eq!(rotated.open_cursor(&cursor).unwrap(), b"page 2");
        assert!(vault.open_cursor(&rotated.seal_cursor(b"page 3").unwrap()).is_err());
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]

        #[test]
        fn a_text_that_was_never_handed_out_is_refused_without_a_panic(text in "[A-Za-z0-9_=+ é-]{0,90}") {
            let (_, _, vault) = new_vault();
            prop_assert!(vault.open_cursor(&text).is_err());
            prop_assert!(vault.open_mcp_session("ses_1", &text).is_err());
        }
    }
}
