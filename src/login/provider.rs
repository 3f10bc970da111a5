//! The keys of one identity provider: found, kept, fetched anew.
//!
//! **Invariants.** Whatever tokens say, a provider is asked for its keys once per
//! [`Pace::unknown_wait`] because of key ids that are not known, once per [`Pace::failed_wait`] while
//! it does not answer, and by one request at a time. No key counts for longer than
//! [`Pace::kept`] after it was last seen there.

use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwapOption;
use proctor_domain::identity_provider::{Algorithm, Settings};
use serde::Deserialize;
use tokio::sync::{Mutex, OwnedMutexGuard};
use url::Url;

use super::keys::{Found, Key, KeySetError, Keys};
use crate::upstream::{DocumentError, Upstreams, openid_configuration, well_known};

/// How often a provider is asked.
#[derive(Clone, Copy, Debug)]
pub struct Pace {
    /// Keys are not asked for again before this time is over.
    pub fresh: Duration,
    /// Keys count for so long while the provider does not answer.
    pub kept: Duration,
    /// Time between two questions because of unknown key ids.
    pub unknown_wait: Duration,
    /// Time after a question without an answer.
    pub failed_wait: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Self {
            fresh: Duration::from_secs(600),
            kept: Duration::from_secs(3_600),
            unknown_wait: Duration::from_secs(30),
            failed_wait: Duration::from_secs(5),
        }
    }
}

/// Why a provider's keys are not known.
#[derive(Debug, thiserror::Error)]
pub enum KeysUnavailable {
    /// Its metadata or its keys cannot be fetched.
    #[error("{what} cannot be fetched: {source}")]
    Fetch {
        /// Which document.
        what: &'static str,
        /// Why.
        #[source]
        source: DocumentError,
    },
    /// Its metadata is not of the expected form.
    #[error("its metadata is not that of an OpenID Connect provider or an authorization server")]
    Metadata,
    /// Its metadata is another's.
    #[error("its metadata names another issuer: register it with the issuer that it names")]
    OtherIssuer,
    /// Its keys cannot be read.
    #[error(transparent)]
    Keys(#[from] KeySetError),
    /// The fetch ended without a word.
    #[error("the fetch was broken off")]
    BrokenOff,
}

/// Why a key was not found.
#[derive(Clone, Debug)]
pub enum NoKey {
    /// There is none of this id.
    Unknown,
    /// The one of this id is for other algorithms.
    Unfit,
    /// That cannot be found out.
    Unavailable(Arc<KeysUnavailable>),
}

struct Known {
    keys: Keys,
    fetched: Instant,
}

#[derive(Default)]
struct Attempts {
    /// The last question because of an unknown key id.
    unknown: Option<Instant>,
    failed: Option<(Instant, Arc<KeysUnavailable>)>,
}

/// See the module.
pub struct Provider {
    /// The version of the aggregate that it is set by.
    pub version: u64,
    settings: Arc<Settings>,
    pace: Pace,
    known: ArcSwapOption<Known>,
    attempts: Arc<Mutex<Attempts>>,
}

#[derive(Deserialize)]
struct Metadata {
    issuer: String,
    jwks_uri: String,
}

impl Provider {
    /// One whose keys are not known yet.
    pub fn new(version: u64, settings: Arc<Settings>, pace: Pace) -> Self {
        Self { version, settings, pace, known: ArcSwapOption::empty(), attempts: Arc::default() }
    }

    /// The key of this id for this algorithm.
    ///
    /// # Errors
    /// When there is none, or that cannot be found out.
    pub async fn key(
        self: &Arc<Self>,
        upstreams: &Upstreams,
        kid: &str,
        algorithm: Algorithm,
    ) -> Result<Arc<Key>, NoKey> {
        if let Some(known) = self.usable() {
            if known.fetched.elapsed() >= self.pace.fresh {
                self.refresh(upstreams);
            }
            match found(&known, kid, algorithm) {
                Err(NoKey::Unknown) => {}
                answer => return answer,
            }
        }
        let attempts = Arc::clone(&self.attempts).lock_owned().await;
        let known = self.usable();
        // Somebody else may have asked while this one waited.
        match known.as_ref().map(|known| found(known, kid, algorithm)) {
            None | Some(Err(NoKey::Unknown)) => {}
            Some(answer) => return answer,
        }
        if let Some((at, error)) = &attempts.failed
            && at.elapsed() < self.pace.failed_wait
        {
            return Err(NoKey::Unavailable(Arc::clone(error)));
        }
        if known.is_some() && attempts.unknown.is_some_and(|at| at.elapsed() < self.pace.unknown_wait) {
            return Err(NoKey::Unknown);
        }
        let because_unknown = known.is_some();
        // Apart from this request, whose client may go away: others wait for the same answer.
        let fetching = tokio::spawn(Arc::clone(self).fetch(upstreams.clone(), attempts, because_unknown));
        let fetched = fetching.await.unwrap_or_else(|_| Err(Arc::new(KeysUnavailable::BrokenOff)));
        found(&*fetched.map_err(NoKey::Unavailable)?, kid, algorithm)
    }

    fn usable(&self) -> Option<Arc<Known>> {
        self.known.load_full().filter(|known| known.fetched.elapsed() < self.pace.kept)
    }

    /// Asks anew while what is known is used on, unless somebody asks already.
    fn refresh(self: &Arc<Self>, upstreams: &Upstreams) {
        let Ok(attempts) = Arc::clone(&self.attempts).try_lock_owned() else { return };
        let asked = |(at, _): &(Instant, _)| at.elapsed() < self.pace.failed_wait;
        if !attempts.failed.as_ref().is_some_and(asked) {
            tokio::spawn(Arc::clone(self).fetch(upstreams.clone(), attempts, false));
        }
    }

    async fn fetch(
        self: Arc<Self>,
        upstreams: Upstreams,
        mut attempts: OwnedMutexGuard<Attempts>,
        because_unknown: bool,
    ) -> Result<Arc<Known>, Arc<KeysUnavailable>> {
        if because_unknown {
            attempts.unknown = Some(Instant::now());
        }
        match ask(&upstreams, &self.settings).await {
            Ok(keys) => {
                let known = Arc::new(Known { keys, fetched: Instant::now() });
                self.known.store(Some(Arc::clone(&known)));
                attempts.failed = None;
                Ok(known)
            }
            Err(error) => {
                tracing::warn!(issuer = self.settings.issuer, %error, "an identity provider's keys were not read");
                let error = Arc::new(error);
                attempts.failed = Some((Instant::now(), Arc::clone(&error)));
                Err(error)
            }
        }
    }
}

fn found(known: &Known, kid: &str, algorithm: Algorithm) -> Result<Arc<Key>, NoKey> {
    match known.keys.find(kid, algorithm) {
        Found::Key(key) => Ok(Arc::clone(key)),
        Found::Unfit => Err(NoKey::Unfit),
        Found::Nothing => Err(NoKey::Unknown),
    }
}

async fn ask(upstreams: &Upstreams, settings: &Settings) -> Result<Keys, KeysUnavailable> {
    let private = settings.private_network;
    let mut places = metadata_urls(&settings.issuer).into_iter();
    let mut answer = Err(DocumentError::Url(crate::upstream::EndpointError::Unusable));
    for url in &mut places {
        answer = upstreams.document(&url, private).await;
        // Only where there is nothing, the other place is tried.
        if !matches!(answer, Err(DocumentError::Status(_))) {
            break;
        }
    }
    let answer = answer.map_err(|source| KeysUnavailable::Fetch { what: "its metadata", source })?;
    let metadata: Metadata = serde_json::from_slice(&answer).map_err(|_| KeysUnavailable::Metadata)?;
    if metadata.issuer != settings.issuer {
        return Err(KeysUnavailable::OtherIssuer);
    }
    let keys = upstreams.document(&metadata.jwks_uri, private).await;
    let keys = keys.map_err(|source| KeysUnavailable::Fetch { what: "its key set", source })?;
    Ok(Keys::read(&keys)?)
}

/// Where an issuer's metadata stands: as OpenID Connect Discovery has it (section 4), and as RFC 8414
/// does (section 3.1), which puts the well-known part before the issuer's path.
fn metadata_urls(issuer: &str) -> Vec<String> {
    let Ok(issuer) = Url::parse(issuer) else { return Vec::new() };
    vec![openid_configuration(&issuer), well_known(&issuer, "oauth-authorization-server")]
}

#[cfg(test)]
mod tests;
