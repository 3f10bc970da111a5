//! How each connection is reached, with its secrets opened.
//!
//! **Invariants.** An opened secret is kept in memory only, in the [`Target`] that sends it, and is
//! wiped when its generation is replaced, or its connection found to be retired. A target is never
//! used for another generation's settings.

use std::collections::BTreeMap;
use std::error::Error;
use std::sync::Arc;

use dashmap::DashMap;
use proctor_domain::connection::{AuthMethod, Connection, ConnectionEvent, Era, Settings, Transport};
use proctor_domain::user_connection::{UserConnection, UserConnectionEvent};
use proctor_domain::{Event, Name, SubjectId};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::credential::{Carried, Credential, CredentialError, Header};
use crate::journal::{Delivered, Listener, Reader, StoreError};
use crate::upstream::{self, Target, Upstreams};
use crate::vault::{OpenError, Vault};

/// The secrets of one generation of a connection's settings. They are sealed together.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secrets {
    /// The value of the header that authenticates.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Zeroizing<String>>,
    /// What Proctor proves with that it is the client of an authorization server.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client: Option<Zeroizing<String>>,
    /// The values of the child process's environment.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub env: BTreeMap<String, Zeroizing<String>>,
}

/// A connection that cannot be reached as it is set.
#[derive(Debug, thiserror::Error)]
pub enum TargetError {
    /// It was never registered, or is retired.
    #[error("there is no connection \"{0}\" in use: register it first")]
    NotInUse(Name),
    /// The store failed.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Its secrets are not there, or do not open.
    #[error("failed to open the secrets of connection \"{name}\"{}: reconfigure it with its secrets", because(.source))]
    Secrets {
        /// The connection.
        name: Name,
        /// Why they do not open, where they are there.
        #[source]
        source: Option<OpenError>,
    },
    /// A user's credential cannot be read or sent.
    #[error("failed to use the user's credential for connection \"{name}\"{}: set it anew", because(.source))]
    Credential {
        /// The connection.
        name: Name,
        /// Why, where it can be read.
        #[source]
        source: Option<CredentialError>,
    },
}

/// A user connection that is over, or that has another credential: what is kept of it is wiped, and
/// the user's child process ends. So do all of a connection that another process has set anew or
/// retired; whoever does so here closes its upstreams.
impl Listener for Targets {
    fn deliver(&self, events: &[Delivered], foreign: bool) {
        for event in events {
            use UserConnectionEvent as Changed;
            let may_finish = match &event.event {
                // Calls that were admitted with the one before may finish; those of an account that was
                // taken back have been cancelled.
                Event::UserConnection(
                    Changed::UserConnectionActivated { .. } | Changed::UserConnectionExpired { .. },
                ) => true,
                Event::UserConnection(Changed::UserConnectionDisconnected { .. }) => false,
                Event::Connection(
                    ConnectionEvent::ConnectionReconfigured { .. }
                    | ConnectionEvent::ConnectionRetired { .. },
                ) if foreign => {
                    self.upstreams.end_children(&event.stream.id, None, true);
                    continue;
                }
                // One that was renewed still serves the calls that were admitted with it.
                _ => continue,
            };
            self.of_users.remove(&*event.stream.id);
            if let Some((subject, connection)) = event.stream.id.split_once('.') {
                self.upstreams.end_children(connection, Some(subject), may_finish);
            }
        }
    }
}

fn because(source: &Option<impl Error>) -> String {
    source.as_ref().map(|source| format!(" ({source})")).unwrap_or_default()
}

struct Opened {
    era: Option<Era>,
    target: Arc<Target>,
}

struct OpenedForUser {
    /// The connection's target that it was made from.
    base: Arc<Target>,
    target: Arc<Target>,
}

/// Users' targets kept; all are forgotten together when there are more.
const USERS_KEPT_MAX: usize = 20_000;

/// See the module.
pub struct Targets {
    vault: Arc<Vault>,
    reader: Arc<dyn Reader>,
    upstreams: Upstreams,
    opened: DashMap<Name, Opened>,
    /// By the identifier of the user connection.
    of_users: DashMap<String, OpenedForUser>,
}

impl Targets {
    /// Nothing opened yet.
    #[must_use]
    pub fn new(vault: Arc<Vault>, reader: Arc<dyn Reader>, upstreams: Upstreams) -> Self {
        Self { vault, reader, upstreams, opened: DashMap::new(), of_users: DashMap::new() }
    }

    /// How `connection`, which is called `name`, is reached.
    ///
    /// # Errors
    /// When it is not in use, or its secrets cannot be opened.
    pub async fn of(&self, name: &Name, connection: &Connection) -> Result<Arc<Target>, TargetError> {
        let Some(settings) = connection.settings().filter(|_| connection.is_usable()) else {
            self.opened.remove(name);
            return Err(TargetError::NotInUse(name.clone()));
        };
        let generation = connection.generation();
        let era = connection.catalog().map(|catalog| catalog.era);
        if let Some(opened) = self.opened.get(name)
            && opened.target.generation == u64::from(generation)
            && opened.era == era
        {
            return Ok(Arc::clone(&opened.target));
        }
        let secrets = self.secrets(name, generation).await?;
        let target = Arc::new(target(name, settings, generation, era, secrets)?);
        self.opened.insert(name.clone(), Opened { era, target: Arc::clone(&target) });
        Ok(target)
    }

    /// The same with the credential of a user, of this generation. `open` opens it, where it is not
    /// known yet.
    ///
    /// # Errors
    /// When the connection is not in use, or the credential cannot be opened or sent.
    pub async fn of_user<E: From<TargetError>>(
        &self,
        name: &Name,
        connection: &Connection,
        (subject, generation): (&SubjectId, u32),
        open: impl AsyncFnOnce() -> Result<Zeroizing<String>, E>,
    ) -> Result<Arc<Target>, E> {
        let base = self.of(name, connection).await?;
        let id = UserConnection::id(subject, name);
        if let Some(opened) = self.of_users.get(&id)
            && Arc::ptr_eq(&opened.base, &base)
            && opened.target.credential_generation == u64::from(generation)
        {
            return Ok(Arc::clone(&opened.target));
        }
        let text = open().await?;
        let unusable = |source| TargetError::Credential { name: name.clone(), source };
        let credential: Credential = serde_json::from_str(&text).map_err(|_| unusable(None))?;
        let auth = connection.settings().map_or(&AuthMethod::None, |settings| &settings.auth);
        let carried = credential.carried(auth).map_err(|error| unusable(Some(error)))?;
        let mut target = Target { credential_generation: generation.into(), ..(*base).clone() };
        match (carried, &mut target.transport) {
            (Carried::Header(Header { name, value }), _) => {
                target.auth = upstream::Auth::Header { name, value };
            }
            (Carried::Environment(variables), upstream::Transport::Stdio { of_user, .. }) => {
                *of_user = variables.into_iter().collect();
            }
            (Carried::Environment(_), upstream::Transport::Http { .. }) => {
                return Err(unusable(Some(CredentialError::OtherKind)).into());
            }
        }
        let target = Arc::new(target);
        if self.of_users.len() >= USERS_KEPT_MAX {
            self.of_users.clear();
        }
        let newer = |known: &OpenedForUser| {
            Arc::ptr_eq(&known.base, &base) && known.target.credential_generation > u64::from(generation)
        };
        // A call that was admitted before the last renewal takes nothing from those after it.
        if !self.of_users.get(&id).is_some_and(|known| newer(&known)) {
            self.of_users.insert(id, OpenedForUser { base, target: Arc::clone(&target) });
        }
        Ok(target)
    }

    /// The secrets of one generation of a connection's settings.
    ///
    /// # Errors
    /// When they are not there or cannot be opened.
    pub async fn secrets(&self, name: &Name, generation: u32) -> Result<Secrets, TargetError> {
        let unreadable = |source| TargetError::Secrets { name: name.clone(), source };
        let sealed = self.reader.connection_secret(name.as_str(), generation).await?;
        let sealed = sealed.ok_or_else(|| unreadable(None))?;
        let text = self
            .vault
            .open_connection_secret(name.as_str(), generation.into(), &sealed)
            .map_err(|err| unreadable(Some(err)))?;
        serde_json::from_str(&text).map_err(|_| unreadable(None))
    }

    /// Seals the secrets for one generation of a connection's settings.
    #[must_use]
    pub fn seal(&self, name: &Name, generation: u32, secrets: &Secrets) -> Vec<u8> {
        let text = Zeroizing::new(serde_json::to_string(secrets).expect("text is always JSON"));
        self.vault.seal_connection_secret(name.as_str(), generation.into(), &text)
    }
}

fn target(
    name: &Name,
    settings: &Settings,
    generation: u32,
    era: Option<Era>,
    mut secrets: Secrets,
) -> Result<Target, TargetError> {
    let missing = || TargetError::Secrets { name: name.clone(), source: None };
    let transport = match &settings.transport {
        Transport::Http { url } => upstream::Transport::Http { url: url.clone() },
        Transport::Stdio { command, args, env } => {
            let env = env
                .iter()
                .map(|variable| Some((variable.clone(), secrets.env.remove(variable)?)))
                .collect::<Option<_>>()
                .ok_or_else(missing)?;
            upstream::Transport::Stdio {
                command: command.clone(),
                args: args.clone(),
                env,
                of_user: Vec::new(),
            }
        }
    };
    let auth = match &settings.auth {
        // What a user brings is put in its place for that user alone.
        AuthMethod::None
        | AuthMethod::ApiKey { .. }
        | AuthMethod::Bearer { .. }
        | AuthMethod::Basic
        | AuthMethod::Oauth2(_)
        | AuthMethod::Environment { .. } => upstream::Auth::None,
        AuthMethod::Header { name: header } => {
            upstream::Auth::Header { name: header.clone(), value: secrets.auth.take().ok_or_else(missing)? }
        }
    };
    Ok(Target {
        connection: name.to_string(),
        generation: generation.into(),
        // The secrets are part of the settings here: a new one is a new generation of both.
        credential_generation: generation.into(),
        transport,
        auth,
        private_network: settings.private_network,
        shared: settings.shared,
        era: era.map(|era| match era {
            Era::Legacy => upstream::Era::Legacy,
            Era::Modern => upstream::Era::Modern,
        }),
    })
}
