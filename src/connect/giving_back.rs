//! Tokens that nobody will use are given back to whoever gave them (RFC 7009): those that a person
//! brought and nobody confirmed in time, or whose link another has replaced.
//!
//! What is to be given back lies in the table of what links brought, so that whoever starts next finds
//! it there. It is removed once it was given back, or after a few times that failed.
//!
//! **Invariants.** What may still be confirmed is left alone. Tokens are not given back where that may
//! take those in force along: many servers end all that they ever gave to one client for one person.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures_util::{StreamExt as _, stream};
use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::user_connection::{Status, UserConnection, UserConnectionCommand};
use proctor_domain::{Micros, Name, SubjectId};
use tokio::sync::Notify;

use super::client::revoke;
use crate::actors::KeyringError;
use crate::credential::Credential;
use crate::journal::{Brought, PendingCredentials, StoreError};
use crate::proctor::Proctor;

/// How often it is looked for what nobody waits for any more.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// How long until what failed is tried again, and twice as long after each further time.
const AGAIN_AFTER: Duration = Duration::from_secs(10);
/// How often it is tried before it is left to end by itself.
const TIMES_MAX: u32 = 6;
/// How many of those that lie there are looked at each time, one part after the other: there may be as many
/// as people who have begun to connect an account.
const LOOKED_AT_MAX: usize = 500;
/// How long it is remembered that something failed which has not been tried again since.
const REMEMBERED: Duration = Duration::from_secs(3_600);
/// How many are given back at the same time.
const AT_ONCE_MAX: usize = 4;

/// See the module.
pub struct Leftovers {
    pending: PendingCredentials,
    bell: Notify,
    tried: Mutex<HashMap<String, Tried>>,
    /// Up to where they were looked at.
    reached: Mutex<Option<Brought>>,
}

/// How often a link's tokens could not be given back, and when that is tried again.
struct Tried {
    times: u32,
    again_at: Instant,
}

impl Leftovers {
    /// What lies in this table.
    #[must_use]
    pub fn new(pending: PendingCredentials) -> Self {
        Self { pending, bell: Notify::new(), tried: Mutex::default(), reached: Mutex::default() }
    }

    /// Looks now: a link may have been replaced.
    pub fn look_soon(&self) {
        self.bell.notify_one();
    }

    /// Gives back what nobody waits for, for as long as it is polled.
    pub async fn run(proctor: Arc<Proctor>) {
        let leftovers = &proctor.leftovers;
        loop {
            tokio::select! {
                () = leftovers.bell.notified() => {}
                () = tokio::time::sleep(LOOK_EVERY) => {}
            }
            if let Err(error) = leftovers.look(&proctor).await {
                tracing::warn!(%error, "failed to look for tokens that nobody waits for; it is tried again");
            }
        }
    }

    async fn look(&self, proctor: &Proctor) -> Result<(), StoreError> {
        if proctor.is_stopping() || !proctor.journal.head().is_fresh() {
            return Ok(());
        }
        let part = self.next_part().await?;
        if part.is_empty() {
            return Ok(());
        }
        let at = proctor.journal.reader().now().await?;
        if let Err(error) = proctor.journal.confirm().await {
            tracing::debug!(%error, "nothing is given back while the journal cannot be read");
            return Ok(());
        }
        self.tried().retain(|_, tried| tried.again_at + REMEMBERED > Instant::now());
        let looked = stream::iter(&part).for_each_concurrent(AT_ONCE_MAX, |brought| async move {
            let is_early =
                self.tried().get(&brought.link).is_some_and(|tried| tried.again_at > Instant::now());
            if !is_early && let Err(error) = self.look_at(proctor, brought, at).await {
                tracing::warn!(connection = brought.connection, error, "failed to give tokens back");
            }
        });
        looked.await;
        Ok(())
    }

    /// The part after the one that was looked at last, and after the end the first.
    async fn next_part(&self) -> Result<Vec<Brought>, StoreError> {
        let reached = self.reached().take();
        let mut part = self.pending.next(reached.as_ref(), LOOKED_AT_MAX).await?;
        if part.is_empty() && reached.is_some() {
            part = self.pending.next(None, LOOKED_AT_MAX).await?;
        }
        *self.reached() = part.last().filter(|_| part.len() == LOOKED_AT_MAX).cloned();
        Ok(part)
    }

    async fn look_at(
        &self,
        proctor: &Proctor,
        brought: &Brought,
        at: Micros,
    ) -> Result<(), Box<dyn std::error::Error>> {
        let subject = SubjectId::from(&*brought.subject);
        let name = Name::new(&brought.connection)?;
        let id = UserConnection::id(&subject, &name);
        let mut account = proctor.directory.state::<UserConnection>(&id).await?;
        if is_awaited(&account, &brought.link) {
            // Nobody confirms it from here on, whatever the clocks of other processes say.
            let lapse = UserConnectionCommand::LapseAuthorization { at, link: brought.link.clone() };
            proctor.directory.tell::<UserConnection>(&id, lapse).await?;
            account = proctor.directory.state::<UserConnection>(&id).await?;
            if is_awaited(&account, &brought.link) {
                return Ok(());
            }
        }
        let connection = proctor.directory.state::<Connection>(name.as_str()).await?;
        let given_back = match proctor.keyring.pending_credential(&subject, &name, &brought.link).await {
            Ok(text) if may_give_back(&account, &connection) => {
                let credential: Credential = serde_json::from_str(&text)?;
                revoke(proctor, &name, &connection, &credential).await
            }
            Ok(_) | Err(KeyringError::Gone(_)) => None,
            Err(error) => return Err(error.into()),
        };
        if given_back == Some(false) && self.is_tried_again(&brought.link) {
            return Ok(());
        }
        self.pending.forget(brought).await?;
        self.tried().remove(&brought.link);
        tracing::info!(connection = %name, link = brought.link, given_back, "what a link brought is not kept any more");
        Ok(())
    }

    /// Whether it is tried again, after it has failed once more.
    fn is_tried_again(&self, link: &str) -> bool {
        let mut tried = self.tried();
        let entry =
            tried.entry(link.to_owned()).or_insert_with(|| Tried { times: 0, again_at: Instant::now() });
        entry.again_at = Instant::now() + AGAIN_AFTER * 2_u32.saturating_pow(entry.times);
        entry.times += 1;
        entry.times < TIMES_MAX
    }

    fn reached(&self) -> std::sync::MutexGuard<'_, Option<Brought>> {
        self.reached.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn tried(&self) -> std::sync::MutexGuard<'_, HashMap<String, Tried>> {
        self.tried.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether what the link brought may still be confirmed, unless its time is over.
fn is_awaited(account: &UserConnection, link: &str) -> bool {
    account.link().is_some_and(|known| known.id() == link && known.is_authorized())
}

/// Whether tokens of this account can be given back without those in force.
fn may_give_back(account: &UserConnection, connection: &Connection) -> bool {
    account.status_for(CredentialKind::Oauth2) != Status::Active || revokes_replaced(connection)
}

fn revokes_replaced(connection: &Connection) -> bool {
    let oauth2 = connection.settings().and_then(|settings| settings.auth.oauth2());
    oauth2.is_some_and(|oauth2| oauth2.revoke_replaced)
}

/// The tokens in force, where an authorization server gave them.
///
/// # Errors
/// When they cannot be read.
pub async fn in_force(
    proctor: &Proctor,
    subject: &SubjectId,
    name: &Name,
    account: &UserConnection,
) -> Result<Option<Credential>, KeyringError> {
    if account.kind() != Some(CredentialKind::Oauth2) {
        return Ok(None);
    }
    match proctor.keyring.user_credential(subject, name, account.generation()).await {
        Ok(text) => Ok(serde_json::from_str(&text).ok()),
        Err(KeyringError::Gone(_)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// The tokens in force that are to be given back when others take their place.
///
/// # Errors
/// When they cannot be read.
pub async fn replaced(
    proctor: &Proctor,
    subject: &SubjectId,
    name: &Name,
    account: &UserConnection,
    connection: &Connection,
) -> Result<Option<Credential>, KeyringError> {
    if revokes_replaced(connection) { in_force(proctor, subject, name, account).await } else { Ok(None) }
}

#[cfg(test)]
mod tests {
    use std::fmt::Write as _;

    use super::*;
    use crate::journal::tests::{Site, on_both_stores};

    on_both_stores!(async: however_many_there_are_a_look_takes_a_part_and_the_next_goes_on);

    async fn however_many_there_are_a_look_takes_a_part_and_the_next_goes_on(site: Site) {
        let leftovers = Leftovers::new(PendingCredentials::new(site.rows().await));
        let look = async || leftovers.next_part().await.unwrap();
        assert!(look().await.is_empty());
        let many = LOOKED_AT_MAX + 2;
        let sealed = if site.is_file() { "x''" } else { "''" };
        let mut sql =
            "INSERT INTO pending_credentials (subject, connection, link, sealed) VALUES ".to_owned();
        for number in 0..many {
            let comma = if number == 0 { "" } else { ", " };
            write!(sql, "{comma}('sub_{:04}', 'mail{}', 'lnk_{number}', {sealed})", number / 2, number % 2)
                .unwrap();
        }
        site.sql(&sql);
        let links = |part: &[Brought]| part.iter().map(|brought| brought.link.clone()).collect::<Vec<_>>();
        let expected =
            |numbers: std::ops::Range<usize>| numbers.map(|n| format!("lnk_{n}")).collect::<Vec<_>>();
        for _ in 0..2 {
            let first = look().await;
            assert_eq!(links(&first), expected(0..LOOKED_AT_MAX));
            assert_eq!(links(&look().await), expected(LOOKED_AT_MAX..many));
        }
        // The last part may have gone meanwhile.
        for brought in look().await.into_iter().chain(leftovers.pending.next(None, many).await.unwrap()) {
            leftovers.pending.forget(&brought).await.unwrap();
        }
        assert!(look().await.is_empty());
        site.sql(&format!("INSERT INTO pending_credentials VALUES ('sub_0000', 'mail0', 'lnk_x', {sealed})"));
        assert_eq!(links(&look().await), ["lnk_x"]);
    }
}
