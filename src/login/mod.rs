//! People who bring their own login: access tokens of identity providers, as the OAuth resource
//! server that a virtual server is (MCP, authorization).
//!
//! A good token opens a session by itself, once. The session's id follows from what the token's
//! signature is over, so that a token whose session was revoked never opens another.
//!
//! **Invariants.** A token counts only while its provider is in use, and with the keys that the
//! provider publishes. It is never kept: what was seen before is known by its SHA-256. What cannot be
//! found out is not the token's fault.

mod keys;
mod open;
mod provider;
mod refused;
mod token;

use std::sync::{Arc, OnceLock};

use dashmap::DashMap;
use proctor_domain::identity_provider::{Algorithm, IdentityProvider, Settings};
use proctor_domain::{Decider as _, Name, SubjectId};
use sha2::{Digest as _, Sha256};
use zeroize::Zeroizing;

pub use open::{NotOpened, open};
pub use provider::Pace;
pub use refused::RefusedLogins;
pub use token::{LEEWAY_SECONDS, LoginError, TOKEN_BYTES_MAX};

use crate::upstream::Upstreams;
use crate::vault::{Lasting, TokenCache, TokenHash};
use provider::{NoKey, Provider};
use token::Unverified;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;
/// What a session's id is made of begins with this, so that nothing else has the same digest.
const SESSION_ID_CONTEXT: &[u8] = b"proctor session of a login\0";

/// A token whose signature was found good.
pub struct VerifiedLogin {
    /// Whose token it is.
    pub provider: Name,
    /// The version of the provider's settings that it was verified under.
    pub provider_version: u64,
    /// The user, as the provider names them.
    pub user: Zeroizing<String>,
    /// The user's reference, once it is known.
    pub subject: OnceLock<SubjectId>,
    /// From when it counts no more, seconds since 1970 UTC.
    pub expires_at_s: i64,
    not_before_s: i64,
    audiences: Vec<String>,
    kid: String,
    algorithm: Algorithm,
    key: [u8; 32],
    signed: [u8; 32],
}

impl VerifiedLogin {
    /// The session that it opens at a virtual server: a UUID of version 8 (RFC 9562, 5.8).
    #[must_use]
    pub fn session_at(&self, server: &Name) -> String {
        let digest = Sha256::new()
            .chain_update(SESSION_ID_CONTEXT)
            .chain_update(server.as_str())
            .chain_update([0])
            .chain_update(self.signed)
            .finalize();
        let mut bytes = [0; 16];
        bytes.copy_from_slice(&digest[..16]);
        let uuid = uuid::Builder::from_custom_bytes(bytes).into_uuid();
        format!("ses_{}", uuid.simple())
    }
}

impl Lasting for VerifiedLogin {
    fn expired(&self, now_us: i64) -> bool {
        now_us >= self.expires_at_s.saturating_mul(MICROSECONDS_PER_SECOND)
    }
}

/// What is known of identity providers and their tokens.
pub struct Logins {
    upstreams: Upstreams,
    pace: Pace,
    providers: DashMap<Name, Arc<Provider>>,
    seen: TokenCache<VerifiedLogin>,
    /// Logins that opened no session.
    pub refused: RefusedLogins,
}

impl Logins {
    /// Nothing is known yet. Providers are reached through `upstreams`.
    #[must_use]
    pub fn new(upstreams: Upstreams, pace: Pace) -> Self {
        Self {
            upstreams,
            pace,
            providers: DashMap::new(),
            seen: TokenCache::default(),
            refused: RefusedLogins::default(),
        }
    }

    /// Verifies a token of the provider `name`, presented at `audience` at the time `now_us`
    /// (microseconds since 1970 UTC).
    ///
    /// # Errors
    /// One for each way in which it can be bad, and one when that cannot be found out.
    pub async fn verify(
        &self,
        name: &Name,
        state: &IdentityProvider,
        token: &str,
        audience: &str,
        now_us: i64,
    ) -> Result<Arc<VerifiedLogin>, LoginError> {
        let Some(settings) = state.settings().filter(|_| state.is_usable()) else {
            return Err(LoginError::ProviderNotInUse(name.clone()));
        };
        let provider = self.provider(name, state.version(), settings);
        let hash = TokenHash::of(token);
        let seen = self
            .seen
            .get(&hash)
            .filter(|seen| seen.provider == *name && seen.provider_version == provider.version);
        if let Some(seen) = seen {
            check_claims(&seen.audiences, seen.not_before_s, seen.expires_at_s, audience, settings, now_us)?;
            // A key that was withdrawn takes its tokens with it, seen or not.
            let key = provider.key(&self.upstreams, &seen.kid, seen.algorithm).await;
            if key.map_err(|error| no_key(name, error))?.digest == seen.key {
                return Ok(seen);
            }
        }
        let unverified = Unverified::read(token, name, settings)?;
        let Unverified { not_before_s, expires_at_s, .. } = unverified;
        check_claims(&unverified.audiences, not_before_s, expires_at_s, audience, settings, now_us)?;
        let key = provider.key(&self.upstreams, &unverified.kid, unverified.algorithm).await;
        let key = key.map_err(|error| no_key(name, error))?;
        unverified.verify(&key.decoding)?;
        let verified = Arc::new(VerifiedLogin {
            provider: name.clone(),
            provider_version: provider.version,
            user: unverified.user,
            subject: OnceLock::new(),
            expires_at_s,
            not_before_s,
            audiences: unverified.audiences,
            kid: unverified.kid,
            algorithm: unverified.algorithm,
            key: key.digest,
            signed: unverified.signed,
        });
        self.seen.put(hash, &verified, now_us);
        Ok(verified)
    }

    /// The provider as it is set now. What was known under other settings is forgotten.
    fn provider(&self, name: &Name, version: u64, settings: &Arc<Settings>) -> Arc<Provider> {
        if let Some(provider) = self.providers.get(name).filter(|provider| provider.version == version) {
            return Arc::clone(&provider);
        }
        let new = Arc::new(Provider::new(version, Arc::clone(settings), self.pace));
        let mut entry = self.providers.entry(name.clone()).or_insert_with(|| Arc::clone(&new));
        if entry.version != version {
            *entry = new;
        }
        Arc::clone(&entry)
    }
}

fn check_claims(
    audiences: &[String],
    not_before_s: i64,
    expires_at_s: i64,
    audience: &str,
    settings: &Settings,
    now_us: i64,
) -> Result<(), LoginError> {
    let meant = |named: &String| named == audience || settings.audience.as_ref() == Some(named);
    if !audiences.iter().any(meant) {
        return Err(LoginError::WrongAudience { audience: audience.to_owned() });
    }
    // Its session ends at this moment, so there is no leeway to give.
    if now_us >= expires_at_s.saturating_mul(MICROSECONDS_PER_SECOND) {
        return Err(LoginError::Expired);
    }
    if now_us.div_euclid(MICROSECONDS_PER_SECOND) < not_before_s.saturating_sub(LEEWAY_SECONDS) {
        return Err(LoginError::NotYetValid);
    }
    Ok(())
}

fn no_key(name: &Name, error: NoKey) -> LoginError {
    match error {
        NoKey::Unknown => LoginError::UnknownKey(name.clone()),
        NoKey::Unfit => LoginError::UnfitKey(name.clone()),
        NoKey::Unavailable(error) => {
            LoginError::Unavailable { provider: name.clone(), reason: error.to_string() }
        }
    }
}

#[cfg(test)]
mod tests;
