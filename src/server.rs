//! Puts the parts together, serves, and takes them apart again in an order that loses nothing.
//!
//! **Invariants.** The doors open after everything behind them stands. On the way down they refuse
//! new work first, and the journal stops last.

mod opening;

use std::collections::BTreeSet;
use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use proctor_domain::api_key::{ApiKey, ApiKeyCommand, Role, Standing};
use proctor_domain::session::Cause;
use proctor_domain::watch::WatchEvent;
use proctor_domain::{By, Position, Recorded, ReplicaId, SessionId};
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinHandle;

use crate::actors::{self, ApiKeys, Calls, Directory, FailureCounter, Keyring, PurposeKeysInUse, Shares};
use crate::config::Config;
use crate::drift::Drifts;
use crate::journal::{Delivered, Listener, Reader, StoreError};
use crate::login::{Logins, Pace};
use crate::manifests::Manifests;
use crate::proctor::{Changes, Proctor};
use crate::targets::Targets;
use crate::traces::Traces;
use crate::upstream::{Limits, Upstreams};
use crate::vault::VaultError;
use crate::views::{JournalSource, Views};
use crate::webhooks::Webhooks;
use crate::{api, connect, drift, mcp, token_count, webhooks};
use opening::Ground;

/// The file in the data folder that says where the server listens.
pub const LISTEN_FILE: &str = "listen";
/// The file in the data folder that holds the projections.
const VIEWS_FILE: &str = "views.db";
/// How long a client may take to send a request's head.
const REQUEST_HEAD_WAIT: Duration = Duration::from_secs(10);
/// How long an idle connection is kept.
const KEEP_ALIVE: Duration = Duration::from_secs(75);
/// How long connections may take to end when the server stops, in seconds.
const WEB_STOP_SECONDS: u64 = 2;
/// How long cancelled calls may take to be recorded when Proctor stops.
const CANCELLED_WAIT: Duration = Duration::from_secs(5);
/// How often the sweeper looks, at most.
const SWEEP_EVERY_MAX: Duration = Duration::from_secs(5);
/// How often counts of repeated refusals and failures are written down.
const FLUSH_EVERY: Duration = Duration::from_secs(60);

/// Why the server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum StartError {
    /// The data folder cannot be used.
    #[error("failed to make the data folder {0}: choose one that can be written to")]
    DataDir(String, #[source] io::Error),
    /// The address cannot be listened at.
    #[error("failed to listen at {0}: is another server running there? choose another with --listen")]
    Listen(SocketAddr, #[source] io::Error),
    /// The journal cannot be used.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The keys cannot be opened.
    #[error(transparent)]
    Vault(#[from] VaultError),
    /// The first administrator's key cannot be put in force.
    #[error("PROCTOR_ADMIN_KEY cannot be used")]
    AdminKey(#[source] Box<dyn std::error::Error + Send + Sync>),
    /// The web server cannot be started.
    #[error("failed to start the web server")]
    Web(#[source] io::Error),
    /// The projections cannot be used.
    #[error(transparent)]
    Views(#[from] crate::views::ViewsError),
    /// Traces cannot be told.
    #[error(transparent)]
    Traces(#[from] crate::traces::TracesError),
    /// The journal stopped while the server started.
    #[error(transparent)]
    Append(#[from] crate::journal::AppendError),
}

/// A running Proctor.
pub struct Server {
    /// What it consists of.
    pub proctor: Arc<Proctor>,
    /// Where it listens.
    pub address: SocketAddr,
    web: ServerHandle,
    serving: JoinHandle<io::Result<()>>,
    chores: Vec<JoinHandle<()>>,
}

impl Server {
    /// Starts everything and opens the doors.
    ///
    /// # Errors
    /// When something that it needs cannot be had; nothing is left running then.
    pub async fn start(mut config: Config) -> Result<Self, StartError> {
        std::fs::create_dir_all(&config.data_dir)
            .map_err(|error| StartError::DataDir(config.data_dir.display().to_string(), error))?;
        let listener =
            TcpListener::bind(config.listen).map_err(|error| StartError::Listen(config.listen, error))?;
        let address = listener.local_addr().map_err(|error| StartError::Listen(config.listen, error))?;
        let public_url = config.public_url_at(address);
        config.allowed.add_public_url(&public_url);
        // Counting tokens needs a vocabulary that takes a while to load; nobody has to wait for it.
        if let Err(error) = token_count::load_in_background() {
            tracing::warn!(%error, "failed to load the token vocabulary ahead of its use");
        }

        let replica = ReplicaId::from(actors::new_id("rep"));
        let Ground { journal, reader, vault, views, deliveries, pending, key_uses, idempotent_requests } =
            opening::open(&config, &replica).await?;
        let calls = Calls::new(replica.clone());
        // First of all listeners: a revocation has cancelled its calls before anybody hears of it.
        journal.listen(Arc::clone(&calls) as _).await?;
        let changes = Changes::default();
        let sender = changes.0.clone();
        journal.listen(Arc::new(changes)).await?;
        let views = Views::open(views, Source(Arc::clone(&reader)), tokio::runtime::Handle::current())?;
        let views = Arc::new(views);
        journal.listen(Arc::new(Feed(Arc::clone(&views)))).await?;
        let webhooks = Webhooks::new(deliveries);
        journal.listen(Arc::clone(&webhooks) as _).await?;
        let purpose_keys = Arc::new(PurposeKeysInUse::default());
        journal.listen(Arc::clone(&purpose_keys) as _).await?;
        let drifts = Arc::new(Drifts::default());
        journal.listen(Arc::clone(&drifts) as _).await?;
        let directory = Directory::open(journal.clone(), config.entity_idle).await?;
        let upstreams = Upstreams::new(Limits {
            answer_bytes_max: config.result_bytes_max,
            children_max: config.children_max,
            children_of_connection_max: config.children_of_connection_max,
            ..Limits::default()
        });
        let targets = Targets::new(Arc::clone(&vault), Arc::clone(&reader), upstreams.clone());
        let targets = Arc::new(targets);
        journal.listen(Arc::clone(&targets) as _).await?;
        let traces = Traces::open(config.traces.as_ref())?;
        let proctor = Arc::new(Proctor {
            changes: sender,
            purpose_keys,
            keyring: Keyring::new(Arc::clone(&vault), Arc::clone(&reader)),
            manifests: Manifests::new(Arc::clone(&directory)),
            targets,
            logins: Logins::new(upstreams.clone(), Pace::default()),
            upstreams,
            api_keys: ApiKeys::new(key_uses),
            idempotent_requests,
            failures: FailureCounter::default(),
            traces,
            door: Default::default(),
            token_counts: Arc::default(),
            views,
            drifts,
            leftovers: connect::Leftovers::new(pending),
            webhooks,
            directory,
            public_url,
            replica,
            vault,
            journal,
            calls,
            shares: Shares::default(),
            stopping: AtomicBool::new(false),
            config,
        });
        admit_first_administrator(&proctor).await?;
        count_replicas(&proctor).await;
        let notice = WatchEvent::ReplicaStarted {
            by: By::Replica(proctor.replica.clone()),
            program: env!("CARGO_PKG_VERSION").to_owned(),
        };
        proctor.notice("replicas", notice).await;
        let chores = vec![
            actix_web::rt::spawn(sweep_forever(Arc::clone(&proctor))),
            actix_web::rt::spawn(flush_forever(Arc::clone(&proctor))),
            actix_web::rt::spawn(follow_purpose_keys(Arc::clone(&proctor))),
            actix_web::rt::spawn(webhooks::run(Arc::clone(&proctor))),
            actix_web::rt::spawn(drift::run(Arc::clone(&proctor))),
            actix_web::rt::spawn(connect::Leftovers::run(Arc::clone(&proctor))),
        ];
        let (web, serving) = open_doors(&proctor, listener).map_err(StartError::Web)?;
        announce(&proctor.config, address);
        Ok(Self { proctor, address, web, serving, chores })
    }

    /// Serves until the process is told to stop by SIGTERM or SIGINT, then stops gracefully.
    ///
    /// # Errors
    /// When the web server fails.
    pub async fn run_until_signal(self) -> io::Result<()> {
        let mut terminate = signal(SignalKind::terminate())?;
        let mut interrupt = signal(SignalKind::interrupt())?;
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        self.stop().await
    }

    /// Refuses new work, lets calls in flight end up to the limit, cancels the rest, writes down how
    /// they ended, and stops.
    ///
    /// # Errors
    /// When the web server has failed meanwhile.
    pub async fn stop(self) -> io::Result<()> {
        let Self { proctor, web, serving, chores, .. } = self;
        tracing::info!(calls = proctor.calls.len(), "stopping");
        proctor.stopping.store(true, Ordering::Release);
        let grace = proctor.config.shutdown_grace;
        if !calls_ended(&proctor.calls, grace).await {
            tracing::warn!(calls = proctor.calls.len(), "cancelling the calls that are still on their way");
            proctor.calls.cancel_all(Cause::Shutdown);
            calls_ended(&proctor.calls, CANCELLED_WAIT).await;
        }
        for chore in chores {
            chore.abort();
        }
        mcp::flush(&proctor).await;
        proctor.failures.flush(&proctor.directory).await;
        proctor.logins.refused.flush(&proctor.directory).await;
        proctor.api_keys.flush().await;
        web.stop(true).await;
        let served = serving.await;
        proctor.upstreams.shutdown().await;
        // Another replica goes on at once; should it fail, in a few seconds.
        if let Err(error) = proctor.webhooks.deliveries().give_lead_back(&proctor.replica).await {
            tracing::debug!(%error, "another replica delivers to webhooks in a while only");
        }
        proctor.journal.stop().await;
        proctor.traces.stop().await;
        tracing::info!("stopped");
        served.unwrap_or_else(|error| Err(io::Error::other(error)))
    }
}

async fn calls_ended(calls: &Calls, within: Duration) -> bool {
    let deadline = Instant::now() + within;
    while !calls.is_empty() && Instant::now() < deadline {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    calls.is_empty()
}

async fn admit_first_administrator(proctor: &Proctor) -> Result<(), StartError> {
    if proctor.journal.head().is_halted() {
        // The log says why. What is there can be read by whoever has a key already.
        return Ok(());
    }
    let key = ApiKeys::id_of(proctor.config.admin_key.expose());
    let command = ApiKeyCommand::Create {
        by: By::Replica(proctor.replica.clone()),
        name: "first administrator".to_owned(),
        role: Role::Admin,
        expires_at: None,
    };
    // The one who makes it differs at every start; a key that is there already stays as it is.
    let there = proctor.directory.fresh::<ApiKey>(key.as_str()).await;
    let there = there.map_err(|error| StartError::AdminKey(Box::new(error)))?;
    match there.standing(actors::now()) {
        Standing::Unknown => {}
        Standing::Active => return Ok(()),
        Standing::Revoked | Standing::Expired => {
            // It would be no revocation that a restart undoes.
            tracing::warn!(%key, "PROCTOR_ADMIN_KEY names a key that counts no more, and stays so");
            return Ok(());
        }
    }
    let created = proctor.directory.tell::<ApiKey>(key.as_str(), command).await;
    created.map(drop).map_err(|error| StartError::AdminKey(Box::new(error)))
}

fn open_doors(
    proctor: &Arc<Proctor>,
    listener: TcpListener,
) -> io::Result<(ServerHandle, JoinHandle<io::Result<()>>)> {
    let shared = web::Data::from(Arc::clone(proctor));
    let server = HttpServer::new(move || {
        App::new()
            .app_data(shared.clone())
            .configure(mcp::configure)
            .configure(connect::configure)
            .configure(api::configure)
            .default_service(web::to(api::not_found))
    })
    .listen(listener)?
    // Otherwise a client that goes away is not noticed, and its call is never cancelled.
    .h1_allow_half_closed(false)
    .client_request_timeout(REQUEST_HEAD_WAIT)
    .keep_alive(KEEP_ALIVE)
    .workers(proctor.config.web_threads)
    .disable_signals()
    .shutdown_timeout(WEB_STOP_SECONDS)
    .run();
    let handle = server.handle();
    Ok((handle, actix_web::rt::spawn(server)))
}

fn announce(config: &Config, address: SocketAddr) {
    // Programs that start a server on port 0 read from here where it is.
    let path = config.data_dir.join(LISTEN_FILE);
    if let Err(error) = std::fs::write(&path, address.to_string()) {
        tracing::warn!(%error, path = %path.display(), "failed to write down where the server listens");
    }
    tracing::info!(%address, "listening");
}

async fn sweep_forever(proctor: Arc<Proctor>) {
    let every = SWEEP_EVERY_MAX.min(proctor.config.lease / 3);
    loop {
        tokio::time::sleep(every).await;
        count_replicas(&proctor).await;
        let abandoned = actors::sweep(&proctor.directory, &proctor.calls, |replica| {
            sessions_with_open_calls(&proctor, replica)
        })
        .await;
        if abandoned > 0 {
            tracing::warn!(abandoned, "calls of a replica that is gone were given up");
        }
    }
}

async fn count_replicas(proctor: &Proctor) {
    if let Err(error) = proctor.shares.count_replicas(&**proctor.journal.reader()).await {
        tracing::warn!(%error, "failed to count the replicas: limits stay shared out as they are");
    }
}

async fn sessions_with_open_calls(proctor: &Proctor, replica: ReplicaId) -> Option<Vec<SessionId>> {
    let head = proctor.journal.confirm().await.ok()?;
    proctor.views.wait_for(head, crate::views::WAIT_MAX).await.ok()?;
    let open = proctor.views.open_calls_of(replica).await.ok()?;
    let sessions: BTreeSet<SessionId> = open.into_iter().map(|(session, _)| session).collect();
    Some(sessions.into_iter().collect())
}

async fn follow_purpose_keys(proctor: Arc<Proctor>) {
    proctor.purpose_keys.follow(&proctor.keyring).await;
}

async fn flush_forever(proctor: Arc<Proctor>) {
    loop {
        tokio::time::sleep(FLUSH_EVERY).await;
        mcp::flush(&proctor).await;
        proctor.failures.flush(&proctor.directory).await;
        proctor.logins.refused.flush(&proctor.directory).await;
        proctor.api_keys.flush().await;
    }
}

/// The journal, as the views read it.
struct Source(Arc<dyn Reader>);

impl JournalSource for Source {
    type Error = StoreError;

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.0.read(after, limit).await
    }

    async fn head(&self) -> Result<Position, StoreError> {
        self.0.head().await
    }
}

/// Hands the views what was just written.
struct Feed(Arc<Views>);

impl Listener for Feed {
    fn deliver(&self, events: &[Delivered], _: bool) {
        let events: Vec<_> = events.iter().map(|event| Arc::clone(event.recorded())).collect();
        self.0.feed(&events);
    }
}
