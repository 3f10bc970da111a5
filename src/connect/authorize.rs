//! Keeps what a person brought, and puts it in force once the product's backend has confirmed who
//! that was.
//!
//! **Invariants.** Nothing that a link brought is used for a call before it was confirmed, and then
//! for the user of that link alone.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::LOCATION;
use actix_web::{HttpResponse, HttpResponseBuilder};
use proctor_domain::connection::Connection;
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand, UserConnectionError};
use proctor_domain::{By, Decider as _, Micros, Name, StreamId, SubjectId};
use serde_json::to_string;
use url::Url;
use zeroize::Zeroizing;

use super::pages::guarded;
use super::show::later;
use super::ticket::{Code, Ticket};
use crate::actors::{AskError, KeyringError, Prepared, now};
use crate::credential::Credential;
use crate::journal::SideWrite;
use crate::proctor::Proctor;

/// Why what a person brought was not kept.
pub(super) enum NotKept {
    Refused(UserConnectionError),
    Unavailable(AskError<UserConnectionError>),
    /// The user's key cannot be had.
    Key,
}

/// Keeps what a person brought by this link, and sends the browser back with the code that confirms
/// it.
pub(super) async fn keep(
    proctor: &Proctor,
    ticket: &Ticket,
    credential: &Credential,
    scopes: Vec<String>,
    expires_at: Option<Micros>,
) -> Result<HttpResponse, NotKept> {
    let code = Code::new(ticket);
    let (subject, connection) = (&ticket.subject, &ticket.connection);
    let unusable = |error: &(dyn std::error::Error + 'static)| {
        tracing::error!(error, "failed to keep what a link brought");
        NotKept::Key
    };
    let key = proctor.keyring.subject_key(subject).await.map_err(|error| unusable(&error))?;
    let plain = Zeroizing::new(to_string(credential).map_err(|error| unusable(&error))?);
    let sealed = key.seal_pending(subject.as_str(), connection.as_str(), &ticket.link, &plain);
    let answer = proctor
        .directory
        .ask::<UserConnection, _>(&UserConnection::id(subject, connection), || {
            let command = UserConnectionCommand::Authorize {
                at: now(),
                link: ticket.link.clone(),
                kind: credential.kind(),
                variables: credential.variables(),
                scopes: scopes.clone(),
                expires_at,
                code: code.digest(),
            };
            let pending = SideWrite::PendingCredential {
                subject: subject.to_string(),
                connection: connection.to_string(),
                link: ticket.link.clone(),
                sealed: sealed.clone(),
            };
            std::future::ready(Ok(Prepared { side_writes: vec![pending], ..Prepared::alone(command) }))
        })
        .await;
    match answer {
        Ok(_) => Ok(back(ticket, "proctor_code", &code.seal(&proctor.vault))),
        Err(AskError::Nonsense(error)) => Err(NotKept::Refused(error)),
        Err(error) => Err(NotKept::Unavailable(error)),
    }
}

/// Writes down that the link led nowhere, and sends the browser back.
pub(super) async fn fail(proctor: &Proctor, ticket: &Ticket, reason: &str) -> HttpResponse {
    let id = UserConnection::id(&ticket.subject, &ticket.connection);
    let command =
        UserConnectionCommand::FailAuthorization { link: ticket.link.clone(), reason: reason.to_owned() };
    if let Err(error) = proctor.directory.tell::<UserConnection>(&id, command).await {
        tracing::warn!(%error, "failed to write down that a link led nowhere");
    }
    back(ticket, "proctor_error", reason)
}

/// Sends the browser back to the product.
fn back(ticket: &Ticket, name: &str, value: &str) -> HttpResponse {
    let Ok(mut url) = Url::parse(&ticket.return_url) else { return later() };
    url.query_pairs_mut().append_pair(name, value).append_pair("connection", ticket.connection.as_str());
    let mut response = HttpResponseBuilder::new(StatusCode::SEE_OTHER);
    guarded(&mut response).insert_header((LOCATION, url.as_str())).finish()
}

/// What a code confirmed.
pub enum Confirmed {
    /// The command that puts the account in force.
    Account(Box<Prepared<UserConnection>>),
    /// Somebody else was in the browser: the command that throws away what was brought.
    SomebodyElse {
        /// The account that it was brought for.
        id: String,
        /// The command.
        prepared: Box<Prepared<UserConnection>>,
        /// What was brought, to be given back where it came from.
        credential: Option<Credential>,
    },
}

/// Why a code cannot be looked at.
#[derive(Debug, thiserror::Error)]
pub enum NotConfirmed {
    /// It is none of ours.
    #[error(transparent)]
    Code(#[from] UserConnectionError),
    /// What it is for cannot be opened.
    #[error(transparent)]
    Key(#[from] KeyringError),
    /// What it is for cannot be looked at.
    #[error(transparent)]
    Ask(#[from] AskError<UserConnectionError>),
    /// The connection cannot be looked at.
    #[error(transparent)]
    Connection(#[from] AskError<proctor_domain::connection::ConnectionError>),
}

/// Says what follows from the product's backend having this user, `subject`, in the browser that
/// brought this code for this connection.
///
/// # Errors
/// When the code is none of ours, or what it is for cannot be had.
pub async fn confirm(
    proctor: &Proctor,
    by: By,
    subject: Option<&SubjectId>,
    name: &Name,
    code: &str,
) -> Result<Confirmed, NotConfirmed> {
    let code = Code::open(&proctor.vault, code).ok_or(UserConnectionError::CodeUnknown)?;
    if Some(&code.subject) != subject || code.connection != *name {
        let id = UserConnection::id(&code.subject, &code.connection);
        let state = proctor.directory.fresh::<UserConnection>(&id).await?;
        // Only what waits is thrown away: an account that was confirmed is not at a stranger's mercy.
        if state.link().is_none_or(|link| link.id() != code.link || !link.is_pending(now())) {
            return Err(UserConnectionError::CodeUnknown.into());
        }
        let command = UserConnectionCommand::FailAuthorization {
            link: code.link.clone(),
            reason: "somebody_else".to_owned(),
        };
        let forgotten = SideWrite::ForgottenPending {
            subject: code.subject.to_string(),
            connection: code.connection.to_string(),
        };
        let prepared = Box::new(Prepared { side_writes: vec![forgotten], ..Prepared::alone(command) });
        let brought = proctor.keyring.pending_credential(&code.subject, &code.connection, &code.link).await;
        let credential = brought.ok().and_then(|text| serde_json::from_str(&text).ok());
        return Ok(Confirmed::SomebodyElse { id, prepared, credential });
    }
    let (subject, link) = (&code.subject, &code.link);
    let connection: Arc<Connection> = proctor.directory.fresh(name.as_str()).await?;
    let state = proctor.directory.fresh::<UserConnection>(&UserConnection::id(subject, name)).await?;
    let generation = state.generation() + 1;
    let plain = match proctor.keyring.pending_credential(subject, name, link).await {
        Ok(plain) => plain,
        Err(KeyringError::Gone(_)) => return Err(UserConnectionError::CodeUnknown.into()),
        Err(error) => return Err(error.into()),
    };
    let key = proctor.keyring.subject_key(subject).await?;
    let side_writes = vec![
        SideWrite::UserCredential {
            subject: subject.to_string(),
            connection: name.to_string(),
            generation,
            sealed: key.seal_credential(subject.as_str(), name.as_str(), generation, &plain),
            keeps_previous: false,
        },
        SideWrite::ForgottenPending { subject: subject.to_string(), connection: name.to_string() },
    ];
    let grounds = vec![(StreamId::of::<Connection>(name.as_str()), connection.version())];
    let command = UserConnectionCommand::Confirm {
        at: now(),
        by,
        subject: subject.clone(),
        connection: name.clone(),
        grounds: connection,
        link: link.clone(),
        code: code.digest(),
        generation,
    };
    Ok(Confirmed::Account(Box::new(Prepared { command, grounds, sealed: None, side_writes })))
}
