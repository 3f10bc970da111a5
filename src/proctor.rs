//! Everything that one running Proctor consists of, as both doors see it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use proctor_domain::watch::{Notice, Watch, WatchEvent};
use proctor_domain::{Event, ReplicaId};
use tokio::sync::broadcast;

use crate::actors::{ApiKeys, Calls, Directory, FailureCounter, Keyring, PurposeKeysInUse, Shares, day};
use crate::config::{Config, PublicUrl};
use crate::connect::Leftovers;
use crate::drift::Drifts;
use crate::journal::{Delivered, IdempotentRequests, Journal, Listener};
use crate::login::Logins;
use crate::manifests::Manifests;
use crate::mcp::Door;
use crate::targets::Targets;
use crate::token_count::TokenCounts;
use crate::traces::Traces;
use crate::upstream::Upstreams;
use crate::vault::Vault;
use crate::views::Views;
use crate::webhooks::Webhooks;

/// Changes that an open stream may have missed before it has to look for itself.
const CHANGES_KEPT: usize = 1_024;

/// See the module.
pub struct Proctor {
    /// How it is set.
    pub config: Config,
    /// Under which URL clients reach it.
    pub public_url: PublicUrl,
    /// This process.
    pub replica: ReplicaId,
    /// Keys.
    pub vault: Arc<Vault>,
    /// Subjects' and sessions' keys.
    pub keyring: Keyring,
    /// Which of Proctor's own keys are in use here.
    pub purpose_keys: Arc<PurposeKeysInUse>,
    /// The log of everything.
    pub journal: Journal,
    /// The entities.
    pub directory: Arc<Directory>,
    /// The calls on their way.
    pub calls: Arc<Calls>,
    /// What calls take of the limits that many sessions share.
    pub shares: Shares,
    /// What virtual servers show.
    pub manifests: Manifests,
    /// How connections are reached.
    pub targets: Arc<Targets>,
    /// The keys of administrators and backends.
    pub api_keys: ApiKeys,
    /// Requests that must not be carried out twice.
    pub idempotent_requests: IdempotentRequests,
    /// Authentications that failed, at either door.
    pub failures: FailureCounter,
    /// Identity providers and their tokens.
    pub logins: Logins,
    /// What definitions cost a model.
    pub token_counts: Arc<TokenCounts>,
    /// The way out.
    pub upstreams: Upstreams,
    /// The projections: the audit trail and lists.
    pub views: Arc<Views>,
    /// What becomes known of connections whose upstreams are watched.
    pub drifts: Arc<Drifts>,
    /// Tokens that nobody will use.
    pub leftovers: Leftovers,
    /// Whom it tells what happens.
    pub webhooks: Arc<Webhooks>,
    /// What the agents' door keeps in mind.
    pub door: Door,
    /// Who is told how calls went.
    pub traces: Traces,
    /// Every event that changes what a session may see or do.
    pub changes: broadcast::Sender<Delivered>,
    /// Set when Proctor is stopping: no new work is taken.
    pub stopping: AtomicBool,
}

impl Proctor {
    /// Whether new work is refused because Proctor is stopping.
    #[must_use]
    pub fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// The URL of a virtual server, which is also the audience of its session tokens.
    #[must_use]
    pub fn mcp_server_url(&self, virtual_server: &str) -> String {
        self.public_url.at(&format!("/mcp/{virtual_server}"))
    }

    /// Writes down something that Proctor noticed, in the stream `about` of this day.
    pub async fn notice(&self, about: &str, event: WatchEvent) {
        let stream = format!("{about}:{}", day(crate::actors::now()));
        let noted = self.directory.tell::<Watch>(&stream, Notice(event)).await;
        if let Err(error) = noted {
            tracing::error!(%error, about, "failed to write down what was noticed");
        }
    }
}

/// Hands on the few events that open streams wait for.
pub struct Changes(pub broadcast::Sender<Delivered>);

impl Default for Changes {
    fn default() -> Self {
        Self(broadcast::Sender::new(CHANGES_KEPT))
    }
}

impl Listener for Changes {
    fn deliver(&self, events: &[Delivered], _: bool) {
        use proctor_domain::session::SessionEvent;
        for event in events {
            let matters = match &event.event {
                Event::Session(event) => matches!(event, SessionEvent::SessionRevoked { .. }),
                Event::Connection(_) | Event::VirtualServer(_) | Event::Subject(_) => true,
                Event::IdentityProvider(_)
                | Event::UserConnection(_)
                | Event::ApiKey(_)
                | Event::PurposeKeys(_)
                | Event::Watch(_)
                | Event::Webhook(_) => false,
            };
            if matters {
                // Nobody may be listening, which is no failure.
                let _ = self.0.send(event.clone());
            }
        }
    }
}
