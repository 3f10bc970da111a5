//! What a connection over HTTP and a child process have in common, and the first words on either.
//!
//! The era is found as the 2026-07-28 revision says: ask `server/discover`; whoever does not know
//! it is greeted with `initialize`.
//!
//! **Invariants.** A legacy session declares the capabilities that all of its callers have: it outlives any
//! one of them, and nobody's capabilities may leak to the next.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use http::{HeaderName, HeaderValue};
use proctor_domain::connection::Abilities;
use serde::Deserialize;
use serde_json::value::RawValue;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use super::{
    Admission, Era, FailureKind, LEGACY_VERSIONS, MODERN_VERSION, RpcError,
    catalog::Listed,
    envelope::{self, Answer},
    failure::{Failure, Shown},
};

/// A server that ignores `server/discover` is taken for a legacy one after this.
const DISCOVER_WAIT_MS_MAX: u64 = 10_000;

const UNSUPPORTED_PROTOCOL_VERSION: i64 = -32022;
/// Codes that only a modern server uses: header mismatch, missing client capability.
const MODERN_REJECTIONS: [i64; 2] = [-32020, -32021];

/// Our request ids; one row of numbers for the whole process, so that no two requests that share a
/// session or a child ever have the same.
static NEXT_ID: AtomicU64 = AtomicU64::new(1);

pub(super) fn next_id() -> u64 {
    NEXT_ID.fetch_add(1, Ordering::Relaxed)
}

/// How the next request on a line is to be spoken.
#[derive(Debug)]
pub(super) enum Ready {
    /// In the modern era; there is no session.
    Modern,
    /// Before a legacy handshake.
    Greeting,
    /// After it.
    Legacy { version: &'static str, session: Option<HeaderValue> },
}

impl Ready {
    pub fn session(&self) -> Option<&HeaderValue> {
        match self {
            Self::Legacy { session, .. } => session.as_ref(),
            Self::Modern | Self::Greeting => None,
        }
    }

    pub fn is_modern(&self) -> bool {
        matches!(self, Self::Modern)
    }
}

/// A request about to be sent.
pub(super) struct Outgoing<'a> {
    pub id: u64,
    pub method: &'static str,
    /// The `Mcp-Name`.
    pub name: Option<&'a str>,
    pub body: String,
    /// The `Mcp-Param-*`.
    pub params: Vec<(HeaderName, HeaderValue)>,
}

impl Outgoing<'_> {
    pub fn plain(id: u64, method: &'static str, body: String) -> Self {
        Self { id, method, name: None, body, params: Vec::new() }
    }
}

/// An answer, and the session that came with it.
pub(super) struct Asked {
    pub answer: Answer,
    pub session: Option<HeaderValue>,
}

/// What a tool call needs in order to leave.
pub(super) struct Pass {
    pub admission: Admission,
    pub cancel: CancellationToken,
    pub flight: Arc<Flight>,
}

impl Pass {
    /// Asks the gate; to be done immediately before the first byte.
    pub async fn check(&self) -> Result<(), Failure> {
        self.admission.may_leave().await.map_err(|refusal| not_let(&refusal.reason))?;
        if self.cancel.is_cancelled() {
            return Err(not_let("the call was cancelled"));
        }
        Ok(())
    }
}

/// A call that was stopped before any byte of it left.
pub(super) fn not_let(reason: &str) -> Failure {
    Failure::unsent(FailureKind::NotLet, format!("was not called: {reason}"))
}

/// What is known of a tool call from outside while it runs.
pub(super) struct Flight {
    pub id: u64,
    sent: AtomicBool,
}

impl Flight {
    pub fn new() -> Self {
        Self { id: next_id(), sent: AtomicBool::new(false) }
    }

    /// Whether any byte of it possibly left.
    pub fn sent(&self) -> bool {
        self.sent.load(Ordering::Acquire)
    }

    pub fn set_sent(&self, sent: bool) {
        self.sent.store(sent, Ordering::Release);
    }
}

/// A way to one upstream.
pub(super) trait Line {
    /// Sends a request and waits for its answer.
    async fn ask(&self, ready: &Ready, outgoing: Outgoing<'_>) -> Result<Asked, Failure>;
    /// Sends a notification.
    async fn tell(&self, ready: &Ready, method: &'static str, body: String) -> Result<(), Failure>;
    /// What its legacy sessions declare, an object: nothing, but where all who use it can do it.
    fn declares(&self) -> &str {
        "{}"
    }
    /// Makes the line usable again after a failure that may have ended it.
    async fn mend(&self) -> Result<(), Failure>;
}

/// What a probe found.
#[derive(Debug)]
pub struct Probed {
    /// The era to speak from now on.
    pub era: Era,
    /// The protocol version agreed on.
    pub protocol_version: &'static str,
    /// The server's introduction of itself (`serverInfo`), as it sent it.
    pub server_info: Option<Box<RawValue>>,
    /// Its instructions for the model.
    pub instructions: Option<String>,
    /// Whether it says when what it defines has changed.
    pub list_changed: bool,
    /// Whether it has prompts.
    pub prompts: bool,
    /// What else it can do.
    pub abilities: Abilities,
}

impl Probed {
    /// The lists that it has. Tools are asked for whatever it says of itself.
    pub(super) fn lists(&self) -> Vec<Listed> {
        let prompts = self.prompts.then_some(Listed::Prompts);
        let templates = self.abilities.resources.then_some(Listed::ResourceTemplates);
        [Some(Listed::Tools), prompts, templates].into_iter().flatten().collect()
    }
}

/// What a server says that it can do, as far as that matters here.
#[derive(Default, Deserialize)]
struct Capabilities {
    #[serde(default)]
    tools: Option<Capability>,
    #[serde(default)]
    prompts: Option<Capability>,
    #[serde(default)]
    resources: Option<Capability>,
    #[serde(default)]
    completions: Option<Capability>,
    #[serde(default)]
    logging: Option<Capability>,
}

#[derive(Deserialize)]
struct Capability {
    #[serde(rename = "listChanged", default)]
    list_changed: Option<bool>,
    #[serde(default)]
    subscribe: Option<bool>,
}

impl Capabilities {
    /// Odd capabilities are no reason to do without the server.
    fn of(raw: Option<&RawValue>) -> Self {
        raw.and_then(|raw| serde_json::from_str(raw.get()).ok()).unwrap_or_default()
    }

    /// Whether it says when what it defines has changed.
    fn list_changed(&self) -> bool {
        let lists = [&self.tools, &self.prompts];
        lists.into_iter().flatten().any(|list| list.list_changed == Some(true))
    }

    fn abilities(&self) -> Abilities {
        let subscribe = self.resources.as_ref().and_then(|resources| resources.subscribe);
        Abilities {
            resources: self.resources.is_some(),
            subscriptions: subscribe == Some(true),
            completions: self.completions.is_some(),
            logging: self.logging.is_some(),
        }
    }
}

/// Makes a line ready, in `era` where it is known, else in the one that is found.
pub(super) async fn greet(line: &impl Line, era: Option<Era>) -> Result<(Ready, Option<Probed>), Failure> {
    match era {
        Some(Era::Modern) => Ok((Ready::Modern, None)),
        Some(Era::Legacy) => initialize(line).await.map(|(ready, p)| (ready, Some(p))),
        None => discover(line).await.map(|(ready, p)| (ready, Some(p))),
    }
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Discovered<'a> {
    supported_versions: Vec<String>,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(default)]
    instructions: Option<String>,
    #[serde(rename = "_meta", borrow, default)]
    meta: Option<DiscoveredMeta<'a>>,
}

#[derive(Deserialize)]
struct DiscoveredMeta<'a> {
    #[serde(rename = "io.modelcontextprotocol/serverInfo", borrow, default)]
    server_info: Option<&'a RawValue>,
}

/// Asks `server/discover` and falls back to `initialize`.
pub(super) async fn discover(line: &impl Line) -> Result<(Ready, Probed), Failure> {
    let id = next_id();
    let ask = line.ask(&Ready::Modern, Outgoing::plain(id, "server/discover", envelope::discover(id)));
    let asked = match timeout(Duration::from_millis(DISCOVER_WAIT_MS_MAX), ask).await {
        Ok(Ok(asked)) => asked.answer,
        Ok(Err(failure)) => match failure.kind {
            // A server that stumbles over a request it does not know.
            FailureKind::Http(_) | FailureKind::Protocol => return initialize(line).await,
            // Some child processes exit when they are not greeted first.
            FailureKind::Unreachable if failure.sent => {
                line.mend().await?;
                return initialize(line).await;
            }
            _ => return Err(failure),
        },
        Err(_) => return initialize(line).await,
    };
    match asked {
        Answer::Result(result) => {
            let found: Discovered<'_> = parsed(&result, "server/discover")?;
            if !found.supported_versions.iter().any(|v| v == MODERN_VERSION) {
                return initialize_if_among(line, &found.supported_versions).await;
            }
            let capabilities = Capabilities::of(found.capabilities);
            let server_info = found.meta.and_then(|meta| meta.server_info);
            let probed = Probed {
                era: Era::Modern,
                protocol_version: MODERN_VERSION,
                server_info: server_info.map(ToOwned::to_owned),
                instructions: found.instructions,
                list_changed: capabilities.list_changed(),
                prompts: capabilities.prompts.is_some(),
                abilities: capabilities.abilities(),
            };
            Ok((Ready::Modern, probed))
        }
        Answer::Error(err) if err.code == UNSUPPORTED_PROTOCOL_VERSION => {
            initialize_if_among(line, &supported(&err)).await
        }
        Answer::Error(err) if MODERN_REJECTIONS.contains(&err.code) => {
            Err(Failure::protocol(format!("refused server/discover with error {}", err.code)))
        }
        Answer::Error(_) => initialize(line).await,
    }
}

/// The versions that error -32022 says are supported.
fn supported(err: &RpcError) -> Vec<String> {
    #[derive(Deserialize)]
    struct Data {
        supported: Vec<String>,
    }
    let data = err.data.as_ref().map(|data| data.get()).unwrap_or_default();
    serde_json::from_str(data).map_or(Vec::new(), |data: Data| data.supported)
}

async fn initialize_if_among(line: &impl Line, versions: &[String]) -> Result<(Ready, Probed), Failure> {
    if versions.iter().any(|v| LEGACY_VERSIONS.contains(&v.as_str())) {
        return initialize(line).await;
    }
    let list = versions.join(", ");
    let (list, oldest, newest) = (Shown(&list), LEGACY_VERSIONS[3], MODERN_VERSION);
    Err(Failure::protocol(format!(
        "supports the protocol versions {list} only; Proctor speaks {oldest} to {newest}"
    )))
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Initialized<'a> {
    protocol_version: String,
    #[serde(borrow, default)]
    capabilities: Option<&'a RawValue>,
    #[serde(borrow, default)]
    server_info: Option<&'a RawValue>,
    #[serde(default)]
    instructions: Option<String>,
}

/// The legacy handshake.
async fn initialize(line: &impl Line) -> Result<(Ready, Probed), Failure> {
    let id = next_id();
    let body = envelope::initialize(id, LEGACY_VERSIONS[0], line.declares());
    let asked = line.ask(&Ready::Greeting, Outgoing::plain(id, "initialize", body)).await?;
    let result = match asked.answer {
        Answer::Result(result) => result,
        Answer::Error(err) => {
            return Err(Failure::protocol(format!("refused initialize with error {}", err.code)));
        }
    };
    let found: Initialized<'_> = parsed(&result, "initialize")?;
    let known = LEGACY_VERSIONS.into_iter().find(|known| *known == found.protocol_version);
    let Some(version) = known else {
        return Err(Failure::protocol(format!(
            "answered initialize with protocol version {}, which Proctor does not speak",
            Shown(&found.protocol_version)
        )));
    };
    let ready = Ready::Legacy { version, session: asked.session };
    let initialized = envelope::INITIALIZED.to_owned();
    line.tell(&ready, "notifications/initialized", initialized).await?;
    let capabilities = Capabilities::of(found.capabilities);
    let probed = Probed {
        era: Era::Legacy,
        protocol_version: version,
        server_info: found.server_info.map(ToOwned::to_owned),
        instructions: found.instructions,
        list_changed: capabilities.list_changed(),
        prompts: capabilities.prompts.is_some(),
        abilities: capabilities.abilities(),
    };
    Ok((ready, probed))
}

fn parsed<'a, T: Deserialize<'a>>(result: &'a RawValue, method: &str) -> Result<T, Failure> {
    serde_json::from_str(result.get()).map_err(|err| {
        Failure::protocol(format!(
            "answered {method} with a result of the wrong shape ({:?} error at column {})",
            err.classify(),
            err.column()
        ))
    })
}
