//! Opens the session of somebody who brought a login, at most once for a token.
//!
//! **Invariants.** It is opened by the same decision that minting rests on, at the same states of
//! user, virtual server and accounts, and of the identity provider as the token was verified under.
//! A session's id that is taken stays taken, whatever became of the session.

use std::sync::Arc;

use proctor_domain::identity_provider::IdentityProvider;
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{
    Opening, OpeningGrounds, Session, SessionCommand, SessionError, TTL_SECONDS_MAX,
};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::Status;
use proctor_domain::virtual_server::{Login, VirtualServer};
use proctor_domain::{By, Decider as _, Micros, Name, StreamId};

use super::{LoginError, VerifiedLogin};
use crate::actors::{AskError, KeyringError, Prepared, now};
use crate::journal::{AppendError, SideWrite};
use crate::opening::{self, Registration};
use crate::proctor::Proctor;

const MICROSECONDS_PER_SECOND: i64 = 1_000_000;

/// Why a good login has no session.
#[derive(Debug, thiserror::Error)]
pub enum NotOpened {
    /// Something about the token.
    #[error(transparent)]
    Login(#[from] LoginError),
    /// It may not have one, for this reason of a stable code.
    #[error("{message}")]
    Refused {
        /// The code.
        code: &'static str,
        /// For a person.
        message: String,
        /// The accounts that the user has to connect first.
        missing: Vec<(Name, Status)>,
    },
    /// That cannot be found out now.
    #[error("{0}")]
    Unavailable(String),
}

impl<E: std::error::Error + 'static> From<AskError<E>> for NotOpened {
    fn from(error: AskError<E>) -> Self {
        Self::Unavailable(error.to_string())
    }
}

impl From<KeyringError> for NotOpened {
    fn from(error: KeyringError) -> Self {
        match error {
            KeyringError::Store(error) => {
                tracing::error!(%error, "the store failed");
                Self::Unavailable("failed to read the journal: try again soon".to_owned())
            }
            KeyringError::Open(error) => {
                tracing::error!(%error, "a user's key does not open");
                Self::Unavailable("the user's key does not open: see Proctor's log".to_owned())
            }
            error @ (KeyringError::Gone(_) | KeyringError::Vault(_)) => Self::Unavailable(error.to_string()),
        }
    }
}

/// The session of a verified token, which is opened if it never was.
///
/// # Errors
/// When it may not be opened, or that cannot be found out.
pub async fn open(
    proctor: &Proctor,
    server: &Name,
    login: &Login,
    verified: &VerifiedLogin,
) -> Result<(String, Arc<Session>), NotOpened> {
    let id = verified.session_at(server);
    let mut session = proctor.directory.state::<Session>(&id).await?;
    if session.terms().is_none() {
        // Apart, as everything that is rare and large.
        session = Box::pin(open_new(proctor, server, login, verified, &id)).await?;
    }
    let subject = match verified.subject.get() {
        Some(subject) => subject.clone(),
        None => match proctor.keyring.subject_of(&verified.user).await? {
            Some(subject) => verified.subject.get_or_init(|| subject).clone(),
            None => return Err(LoginError::OtherUser.into()),
        },
    };
    match session.terms() {
        // The claim that names the user may have been set anew since.
        Some(terms) if terms.subject == subject => Ok((id, session)),
        Some(_) => Err(LoginError::OtherUser.into()),
        None => Err(NotOpened::Unavailable("the session is not there yet: try again soon".to_owned())),
    }
}

async fn open_new(
    proctor: &Proctor,
    server: &Name,
    login: &Login,
    verified: &VerifiedLogin,
    id: &str,
) -> Result<Arc<Session>, NotOpened> {
    let by = By::Login(verified.provider.clone());
    let registered = async |registration: &Registration| {
        let prepare = || registration.prepared(&proctor.directory, &proctor.keyring);
        match proctor.directory.ask::<Subject, _>(registration.subject(), prepare).await {
            Ok(_) => Ok(true),
            Err(AskError::Append(AppendError::SideWriteExists { .. })) => Ok(false),
            Err(error) => Err(NotOpened::from(error)),
        }
    };
    let subject = opening::reference(&proctor.keyring, by.clone(), &verified.user, registered).await?;
    let key = proctor.keyring.subject_key(&subject).await?;
    let (key, wrapped) = key.new_session_key(id);
    let opening = Opening {
        by,
        subject: subject.clone(),
        virtual_server: server.clone(),
        access: login.access,
        tools: None,
        ttl_seconds: login.ttl_seconds_max.unwrap_or(TTL_SECONDS_MAX),
        until: Some(Micros(verified.expires_at_s.saturating_mul(MICROSECONDS_PER_SECOND))),
        limits: SessionLimits::default(),
        label_indexes: Vec::new(),
    };
    let opened = proctor
        .directory
        .ask::<Session, _>(id, || {
            let session_key = SideWrite::SessionKey { session: id.to_owned(), wrapped: wrapped.clone() };
            prepare(proctor, login, verified, opening.clone(), session_key)
        })
        .await;
    match opened {
        Ok(_) => proctor.keyring.keep(id, Arc::new(key)),
        // Another request with the same token was faster.
        Err(
            AskError::Nonsense(SessionError::Exists) | AskError::Append(AppendError::SideWriteExists { .. }),
        ) => {}
        Err(AskError::Nonsense(error)) => {
            let refused = refused(error);
            if let NotOpened::Refused { code, .. } = &refused {
                proctor.logins.refused.count(&verified.provider, server, &subject, code);
            }
            return Err(refused);
        }
        Err(error) => return Err(error.into()),
    }
    Ok(proctor.directory.fresh::<Session>(id).await?)
}

async fn prepare(
    proctor: &Proctor,
    login: &Login,
    verified: &VerifiedLogin,
    opening: Opening,
    session_key: SideWrite,
) -> Result<Prepared<Session>, AskError<SessionError>> {
    let (subject_id, name) = (opening.subject.as_str(), opening.virtual_server.as_str());
    let provider_name = verified.provider.as_str();
    let directory = &proctor.directory;
    let (server, subject, provider) = tokio::try_join!(
        async { directory.fresh::<VirtualServer>(name).await.map_err(carried) },
        async { directory.fresh::<Subject>(subject_id).await.map_err(carried) },
        async { directory.fresh::<IdentityProvider>(provider_name).await.map_err(carried) },
    )?;
    // Under other terms, or a provider that is set otherwise, the token has to be looked at anew.
    let changed_terms = server.definition().login.as_ref().is_some_and(|now| now != login);
    let changed_provider = provider.is_usable() && provider.version() != verified.provider_version;
    if changed_terms || changed_provider {
        return Err(AskError::Unavailable(StreamId::of::<VirtualServer>(name)));
    }
    let accounts = opening::accounts::<Carried>(directory, Some(&opening.subject), &server).await;
    let (user_connections, mut grounds) = accounts.map_err(|Carried(error)| error)?;
    grounds.extend([
        (StreamId::of::<VirtualServer>(name), server.version()),
        (StreamId::of::<Subject>(subject_id), subject.version()),
        (StreamId::of::<IdentityProvider>(provider_name), provider.version()),
    ]);
    let rests_on = OpeningGrounds { subject, server, user_connections, provider: Some(provider) };
    let command = SessionCommand::Open { at: now(), opening, grounds: rests_on };
    Ok(Prepared { command, grounds, sealed: None, side_writes: vec![session_key] })
}

/// What went wrong with another entity, on its way to whoever asked for the session.
struct Carried(AskError<SessionError>);

impl<E: std::error::Error + 'static> From<AskError<E>> for Carried {
    fn from(error: AskError<E>) -> Self {
        Self(carried(error))
    }
}

fn carried<E: std::error::Error + 'static>(error: AskError<E>) -> AskError<SessionError> {
    match error {
        AskError::Append(error) => AskError::Append(error),
        AskError::Stale(stale) => AskError::Stale(stale),
        AskError::Unavailable(stream) => AskError::Unavailable(stream),
        // Nothing was asked of it, so that nothing can have been nonsense.
        AskError::Nonsense(_) => AskError::Nonsense(SessionError::Unknown),
    }
}

fn refused(error: SessionError) -> NotOpened {
    let message = error.to_string();
    let (code, missing) = match error {
        SessionError::SubjectBlocked => ("subject_blocked", Vec::new()),
        SessionError::AccountsMissing(missing) => ("accounts_missing", missing),
        SessionError::RetiredServer(_) => ("virtual_server_retired", Vec::new()),
        SessionError::NoLogin { .. } => ("login_not_taken", Vec::new()),
        SessionError::ProviderNotInUse(name) => return LoginError::ProviderNotInUse(name).into(),
        SessionError::Over => return LoginError::Expired.into(),
        SessionError::Unknown
        | SessionError::Exists
        | SessionError::UnknownServer(_)
        | SessionError::UnknownSubject
        | SessionError::UnknownTool { .. }
        | SessionError::Ttl(_)
        | SessionError::UnknownCall(_)
        | SessionError::CallExists(_)
        | SessionError::TooManyInputs
        | SessionError::TooManyLogLevels
        | SessionError::Ended => {
            tracing::error!(%message, "failed to open the session of a login");
            return NotOpened::Unavailable(
                "failed to open a session for the login: see Proctor's log".to_owned(),
            );
        }
    };
    NotOpened::Refused { code, message, missing }
}
