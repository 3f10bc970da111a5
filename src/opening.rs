//! What it takes to open a session, whoever opens it: the user's reference and accounts.

use std::collections::BTreeSet;
use std::sync::Arc;

use proctor_domain::connection::{Connection, ConnectionError};
use proctor_domain::session::UserGrounds;
use proctor_domain::user_connection::{UserConnection, UserConnectionError};
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::{Decider as _, Name, StreamId, SubjectId};
use rand::Rng as _;

use crate::actors::{AskError, Directory};
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

/// A new reference for a user, with the row that says whose it is.
#[must_use]
pub fn new_subject(vault: &Vault, user: &str) -> (String, SubjectRow) {
    let mut random = [0; SUBJECT_BYTES];
    rand::rng().fill_bytes(&mut random);
    let subject = format!("sub_{}", hex::encode(random));
    let (key, wrapped_key) = vault.new_subject_key(&subject);
    let row = SubjectRow {
        // Set anew when it is written, by the keys that are known then.
        user_index: vault.user_indexes(user)[0].to_vec(),
        user_sealed: key.seal_user(&subject, user),
        subject: subject.clone(),
        wrapped_key,
    };
    (subject, row)
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
    let names: BTreeSet<&Name> = server.definition().tools.iter().map(|tool| &tool.connection).collect();
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
