//! What it takes to open a session, whoever opens it: the user's reference and accounts.

use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionError};
use proctor_domain::session::UserGrounds;
use proctor_domain::subject::{Subject, SubjectCommand, SubjectError};
use proctor_domain::user_connection::{UserConnection, UserConnectionError};
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::{By, Decider as _, StreamId, SubjectId};
use rand::Rng as _;

use crate::actors::{AskError, Directory, Keyring, KeyringError, Prepared, registration};
use crate::journal::SubjectRow;
use crate::vault::Vault;

/// Longest identifier of a user, in characters.
pub const USER_CHARS_MAX: usize = 512;
/// Random bytes in a user's reference.
const SUBJECT_BYTES: usize = 16;

/// Whether a user can be called so.
#[must_use]
pub fn user_fits(user: &str) -> bool {
    (1..=USER_CHARS_MAX).contains(&user.chars().count())
}

/// What makes a user known.
pub struct Registration {
    by: By,
    user: String,
    row: SubjectRow,
}

impl Registration {
    /// A reference for a user, with the key and the row that says whose it is.
    #[must_use]
    pub fn new(vault: &Vault, by: By, user: &str) -> Self {
        Self { by, user: user.to_owned(), row: new_subject(vault, user) }
    }

    /// The reference that the user is given.
    #[must_use]
    pub fn subject(&self) -> &str {
        &self.row.subject
    }

    /// The command that does so.
    ///
    /// # Errors
    /// When the keys by which users are found cannot be had.
    pub async fn prepared(
        &self,
        directory: &Arc<Directory>,
        keyring: &Keyring,
    ) -> Result<Prepared<Subject>, AskError<SubjectError>> {
        let command = SubjectCommand::Register { by: self.by.clone() };
        let (side_writes, ground) = registration(directory, keyring, &self.user, &self.row).await?;
        Ok(Prepared { side_writes, grounds: vec![ground], ..Prepared::alone(command) })
    }
}

/// The reference of a user, who is given one by `register` when seen for the first time. It answers whether
/// it did: another request for the same user may have been faster.
///
/// # Errors
/// When it cannot be read, or as `register` does.
pub async fn reference<E: From<KeyringError>>(
    keyring: &Keyring,
    by: By,
    user: &str,
    register: impl AsyncFnOnce(&Registration) -> Result<bool, E>,
) -> Result<SubjectId, E> {
    if let Some(subject) = keyring.subject_of(user).await? {
        return Ok(subject);
    }
    let registration = Registration::new(keyring.vault(), by, user);
    if register(&registration).await? {
        return Ok(registration.row.subject.into());
    }
    let known = keyring.subject_of(user).await?;
    Ok(known.ok_or_else(|| KeyringError::Gone("somebody who was just made known".to_owned()))?)
}

/// A new reference for a user, with the key and the row that says whose it is.
fn new_subject(vault: &Vault, user: &str) -> SubjectRow {
    let mut random = [0; SUBJECT_BYTES];
    rand::rng().fill_bytes(&mut random);
    let subject = format!("sub_{}", hex::encode(random));
    let (key, wrapped_key) = vault.new_subject_key(&subject);
    SubjectRow {
        // Set anew when it is written, by the keys that are known then.
        user_index: vault.user_indexes(user)[0].to_vec(),
        user_sealed: key.seal_user(&subject, user),
        subject,
        wrapped_key,
    }
}

/// The user's accounts at those connections of a virtual server for which every user brings a
/// credential, with everything that was looked at.
///
/// # Errors
/// When an entity cannot be loaded.
pub async fn accounts<E>(
    directory: &Arc<Directory>,
    subject: Option<&SubjectId>,
    server: &VirtualServer,
) -> Result<(Vec<UserGrounds>, Vec<(StreamId, u64)>), E>
where
    E: From<AskError<ConnectionError>> + From<AskError<UserConnectionError>>,
{
    let names = server.definition().connections();
    let (mut accounts, mut looked_at) = (Vec::new(), Vec::new());
    for name in names {
        let connection = directory.state::<Connection>(name.as_str()).await?;
        looked_at.push((StreamId::of::<Connection>(name.as_str()), connection.version()));
        if connection.credential_kind().is_none() {
            continue;
        }
        let user_connection = match subject {
            Some(subject) => {
                let id = UserConnection::id(subject, name);
                let state = directory.state::<UserConnection>(&id).await?;
                looked_at.push((StreamId::of::<UserConnection>(&id), state.version()));
                state
            }
            None => Arc::default(),
        };
        accounts.push(UserGrounds { name: name.clone(), connection, user_connection });
    }
    Ok((accounts, looked_at))
}
