//! Tokens stay fresh: renewed before they end and when an upstream refuses them, by one process at a
//! time.
//!
//! Who renews writes a claim first, so that a refresh token that may be used once is used once, on
//! whatever replicas the calls are that need it. A claim ends by itself: whoever died with it keeps
//! nobody waiting for longer. What the authorization server answered meanwhile is lost then, and the
//! next attempt finds out whether the old refresh token still counts.
//!
//! **Invariants.** A refresh token is sent by the holder of a claim that is seconds old, and never
//! again by the same holder.

use std::future::ready;
use std::sync::Arc;
use std::time::{Duration, Instant};

use actix_web::{rt, web};
use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::user_connection::{Status, UserConnection, UserConnectionCommand};
use proctor_domain::{Micros, Name, SubjectId};
use serde_json::to_string;
use zeroize::Zeroizing;

use super::client::{Client, TokenError, Tokens};
use crate::actors::{AskError, KeyringError, Prepared, now};
use crate::credential::Credential;
use crate::journal::SideWrite;
use crate::proctor::Proctor;

/// How long a call waits for a renewal.
const WAIT: Duration = Duration::from_secs(15);
/// How long between two looks at a renewal that another does.
const LOOK: Duration = Duration::from_millis(50);
/// How old a claim may be when the request leaves. The request itself may take 10 s, so that both end
/// before the claim does.
const CLAIM_AGE_MAX: Duration = Duration::from_secs(5);
/// How long before their end tokens are renewed, at most.
const AHEAD_MAX_US: i64 = 60_000_000;
/// How often the journal is asked to take what was renewed.
const KEPT_TIMES_MAX: u32 = 5;
const KEPT_PAUSE: Duration = Duration::from_millis(500);

/// What became of a renewal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Renewed {
    /// A newer credential is in force.
    Done,
    /// No credential is in force any more.
    Over,
    /// It could not be renewed now.
    NotNow,
}

/// How soon a credential has to be renewed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Due {
    /// Not yet.
    Later,
    /// It still serves for a while.
    Soon,
    /// It does not serve any more.
    Now,
}

/// How soon an account's credential has to be renewed.
#[must_use]
pub fn due(account: &UserConnection, at: Micros) -> Due {
    let Some(ends) = account.expires_at() else { return Due::Later };
    if account.kind() != Some(CredentialKind::Oauth2) {
        return Due::Later;
    }
    // Of those that live shortly, the last quarter.
    let ahead = AHEAD_MAX_US.min(ends.0.saturating_sub(account.renewed_at().0) / 4);
    if at >= ends {
        Due::Now
    } else if at.0 >= ends.0.saturating_sub(ahead) {
        Due::Soon
    } else {
        Due::Later
    }
}

/// Renews while calls go on with what there is.
pub fn renew_soon(proctor: &web::Data<Proctor>, subject: &SubjectId, name: &Name, account: &UserConnection) {
    if account.refresh_waits_until(now()).is_some() {
        return;
    }
    let (proctor, subject, name) = (proctor.clone(), subject.clone(), name.clone());
    let generation = account.generation();
    rt::spawn(async move { renew(&proctor, &subject, &name, generation, false).await });
}

/// Sees to it that a newer credential than this generation is in force. `refused` when the upstream
/// refused one that should have been good still.
pub async fn renew(
    proctor: &web::Data<Proctor>,
    subject: &SubjectId,
    name: &Name,
    generation: u32,
    refused: bool,
) -> Renewed {
    let until = Instant::now() + WAIT;
    let id = UserConnection::id(subject, name);
    loop {
        let Ok(account) = proctor.directory.state::<UserConnection>(&id).await else {
            return Renewed::NotNow;
        };
        if account.status_for(CredentialKind::Oauth2) != Status::Active {
            return Renewed::Over;
        }
        if account.generation() != generation {
            return Renewed::Done;
        }
        let at = now();
        if account.refresh_is_paused(at) || Instant::now() >= until {
            return Renewed::NotNow;
        }
        if account.refresh_waits_until(at).is_none() {
            let claimed = Instant::now();
            let claim = UserConnectionCommand::ClaimRefresh {
                at,
                generation,
                replica: proctor.replica.clone(),
                refused,
            };
            match proctor.directory.tell::<UserConnection>(&id, claim).await {
                Ok(events) if !events.is_empty() => {
                    let renewal = Renewal {
                        proctor: proctor.clone(),
                        subject: subject.clone(),
                        name: name.clone(),
                        id: id.clone(),
                        generation,
                        claimed,
                        refused,
                    };
                    // On its own: whoever asked may go away in the middle.
                    if rt::spawn(renewal.run()).await.is_err() {
                        return Renewed::NotNow;
                    }
                    continue;
                }
                Ok(_) => {}
                Err(error) => {
                    tracing::warn!(%error, "failed to claim the renewal of a user's tokens");
                    return Renewed::NotNow;
                }
            }
        }
        tokio::time::sleep(LOOK).await;
    }
}

/// One claimed renewal.
struct Renewal {
    proctor: web::Data<Proctor>,
    subject: SubjectId,
    name: Name,
    id: String,
    generation: u32,
    claimed: Instant,
    refused: bool,
}

/// Why tokens were not renewed.
enum NotRenewed {
    /// They cannot be, for good.
    Over(&'static str),
    /// They cannot be now.
    NotNow(&'static str),
}

impl Renewal {
    async fn run(self) {
        let asked_at = now();
        match self.tokens().await {
            Ok((tokens, old)) => self.keep(tokens, old, asked_at).await,
            Err(NotRenewed::Over(reason)) => self.end(reason).await,
            Err(NotRenewed::NotNow(reason)) => self.release(reason).await,
        }
    }

    async fn tokens(&self) -> Result<(Tokens, Zeroizing<String>), NotRenewed> {
        let Self { proctor, subject, name, .. } = self;
        let unusable = |error: &(dyn std::error::Error + 'static)| {
            tracing::error!(connection = %name, error, "failed to prepare the renewal of a user's tokens");
            NotRenewed::NotNow("not_prepared")
        };
        let connection = proctor.directory.state::<Connection>(name.as_str()).await;
        let connection: Arc<Connection> = connection.map_err(|error| unusable(&error))?;
        let client = Client::of(proctor, name, &connection).await.map_err(|error| unusable(&error))?;
        // Set to something else meanwhile: what there is serves nobody.
        let Some(client) = client else { return Err(NotRenewed::NotNow("reconfigured")) };
        let plain = match proctor.keyring.user_credential(subject, name, self.generation).await {
            Ok(plain) => plain,
            Err(KeyringError::Gone(_)) => return Err(NotRenewed::Over("credential_gone")),
            Err(error) => return Err(unusable(&error)),
        };
        let Ok(Credential::Oauth2 { refresh_token, .. }) = serde_json::from_str(&plain) else {
            return Err(NotRenewed::Over("credential_gone"));
        };
        let Some(refresh_token) = refresh_token else {
            let reason = if self.refused { "upstream_unauthorized" } else { "no_refresh_token" };
            return Err(NotRenewed::Over(reason));
        };
        if self.claimed.elapsed() > CLAIM_AGE_MAX {
            // This process was asleep, and the claim may be another's before the answer arrives.
            return Err(NotRenewed::NotNow("late"));
        }
        match client.refresh(proctor, &refresh_token).await {
            Ok(tokens) => Ok((tokens, refresh_token)),
            Err(TokenError::Refused("invalid_grant")) => Err(NotRenewed::Over("refresh_refused")),
            Err(error) => {
                tracing::warn!(connection = %name, %error, "a user's tokens were not renewed");
                Err(NotRenewed::NotNow(error.code()))
            }
        }
    }

    /// Puts the new tokens in force. The old ones may be worth nothing by now, so this is tried again.
    async fn keep(&self, tokens: Tokens, old: Zeroizing<String>, asked_at: Micros) {
        let Self { proctor, subject, name, id, generation, .. } = self;
        let account = proctor.directory.state::<UserConnection>(id).await;
        let before = account.map(|account| account.scopes().to_vec()).unwrap_or_default();
        let scopes = tokens.scopes.clone().unwrap_or(before);
        let expires_at = tokens.expires_at(asked_at);
        let credential = tokens.into_credential(Some(old));
        let key = match proctor.keyring.subject_key(subject).await {
            Ok(key) => key,
            Err(error) => {
                tracing::error!(connection = %name, %error, "failed to seal renewed tokens");
                return;
            }
        };
        let plain = Zeroizing::new(to_string(&credential).expect("text is always JSON"));
        let renewed = generation + 1;
        let sealed = key.seal_credential(subject.as_str(), name.as_str(), renewed, &plain);
        for attempt in 0..KEPT_TIMES_MAX {
            if attempt > 0 {
                tokio::time::sleep(KEPT_PAUSE * attempt).await;
            }
            let answer = proctor
                .directory
                .ask::<UserConnection, _>(id, || {
                    let (scopes, generation) = (scopes.clone(), *generation);
                    let command = UserConnectionCommand::CompleteRefresh { generation, scopes, expires_at };
                    let credential = SideWrite::UserCredential {
                        subject: subject.to_string(),
                        connection: name.to_string(),
                        generation: renewed,
                        sealed: sealed.clone(),
                        keeps_previous: true,
                    };
                    ready(Ok(Prepared { side_writes: vec![credential], ..Prepared::alone(command) }))
                })
                .await;
            match answer {
                Ok(_) => return,
                // Disconnected, or connected anew: these tokens are nobody's. Or an answer was lost that
                // said that they are in force.
                Err(AskError::Nonsense(_)) => {
                    let kept = proctor.keyring.user_credential(subject, name, renewed).await;
                    if !kept.is_ok_and(|kept| *kept == *plain)
                        && let Ok(connection) = proctor.directory.state::<Connection>(name.as_str()).await
                    {
                        super::revoke(proctor, name, &connection, &credential).await;
                    }
                    return;
                }
                Err(error) => tracing::error!(connection = %name, %error, "failed to keep renewed tokens"),
            }
        }
    }

    async fn end(&self, reason: &'static str) {
        let Self { proctor, subject, name, id, generation, .. } = self;
        let answer = proctor
            .directory
            .ask::<UserConnection, _>(id, || {
                let command =
                    UserConnectionCommand::Expire { generation: *generation, reason: reason.to_owned() };
                let forgotten = SideWrite::ForgottenCredential {
                    subject: subject.to_string(),
                    connection: name.to_string(),
                };
                ready(Ok(Prepared { side_writes: vec![forgotten], ..Prepared::alone(command) }))
            })
            .await;
        if let Err(error) = answer {
            tracing::error!(connection = %name, %error, "failed to write down that a user's tokens are over");
        }
    }

    async fn release(&self, reason: &'static str) {
        let release = UserConnectionCommand::ReleaseRefresh {
            at: now(),
            generation: self.generation,
            replica: self.proctor.replica.clone(),
            reason: reason.to_owned(),
        };
        if let Err(error) = self.proctor.directory.tell::<UserConnection>(&self.id, release).await {
            tracing::warn!(%error, "failed to let others renew a user's tokens");
        }
    }
}
