//! Upstreams over streamable HTTP, in both eras.
//!
//! **Invariants.** Everything here belongs to one isolation key: its connections, its session. The
//! gate of a call is asked on an open connection, right before the request is handed to it, and the
//! connection looks once more when it writes.

use std::sync::Arc;

use arc_swap::ArcSwapOption;
use http::{HeaderName, HeaderValue};
use serde_json::value::RawValue;

use super::{
    Auth, Call, Era, FailureKind, Limits,
    envelope::{self, Answer},
    failure::{Failure, Shown},
    guard::{Dialer, Endpoint, Reach},
    headers::param_headers,
    hears::Hears,
    line::{Asked, Line, Outgoing, Pass, Ready, greet},
};

mod exchange;
mod fetch;
mod guarded;
mod listening;
mod reply;
mod wire;

pub use fetch::{FETCHED_BYTES_MAX, Fetch, FetchError, Fetched};
pub(super) use fetch::{fetch, tell};
use wire::IdleWires;

/// Headers that belong to HTTP or MCP and cannot carry a credential.
const RESERVED_HEADERS: [&str; 14] = [
    "accept",
    "accept-encoding",
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "host",
    "keep-alive",
    "last-event-id",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// One upstream over HTTP, for one isolation key.
pub(super) struct HttpUpstream {
    endpoint: Endpoint,
    reach: Reach,
    auth: Option<(HeaderName, HeaderValue)>,
    dialer: Dialer,
    limits: Arc<Limits>,
    idle: IdleWires,
    ready: ArcSwapOption<Ready>,
    greeting: tokio::sync::Mutex<()>,
    /// What legacy sessions declare.
    declares: Box<str>,
}

impl HttpUpstream {
    /// Takes a target's settings apart; nothing is connected yet.
    pub fn new(
        url: &str,
        auth: &Auth,
        reach: Reach,
        dialer: Dialer,
        limits: Arc<Limits>,
        declares: Option<&str>,
    ) -> Result<Self, Failure> {
        let wrong = |detail| Failure::unsent(FailureKind::Configuration, detail);
        let endpoint =
            Endpoint::parse(url).map_err(|err| wrong(format!("cannot be called: its URL {err}")))?;
        Ok(Self {
            endpoint,
            reach,
            auth: auth_header(auth).map_err(wrong)?,
            dialer,
            limits,
            idle: IdleWires::default(),
            ready: ArcSwapOption::empty(),
            greeting: tokio::sync::Mutex::new(()),
            declares: declares.unwrap_or("{}").into(),
        })
    }

    /// Makes a call.
    pub async fn call<H: Hears>(
        self: &Arc<Self>,
        era: Option<Era>,
        call: &Call<'_>,
        pass: &Pass,
        hears: &mut H,
    ) -> Result<Answer, Failure> {
        let mut renewed = false;
        loop {
            let ready = self.establish(era).await?;
            let modern = ready.is_modern();
            let outgoing = Outgoing {
                id: pass.flight.id,
                method: call.ask.method(),
                name: call.ask.name(),
                body: envelope::call(pass.flight.id, call, modern),
                params: match modern {
                    true => param_headers(call.header_params, call.ask.arguments()),
                    false => Vec::new(),
                },
            };
            match self.exchange(&ready, outgoing, Some(pass), hears).await {
                Ok(asked) => return Ok(asked.answer),
                // 404 says that the session is unknown: the server looked no further, so the call
                // was not executed and may go out once more in a new session.
                Err(failure)
                    if failure.kind == FailureKind::Http(404) && ready.session().is_some() && !renewed =>
                {
                    self.forget(&ready);
                    pass.flight.set_sent(false);
                    renewed = true;
                }
                Err(failure) => return Err(failure),
            }
        }
    }

    /// Makes sure that the era is known and a legacy session stands.
    pub async fn establish(self: &Arc<Self>, era: Option<Era>) -> Result<Arc<Ready>, Failure> {
        if let Some(ready) = self.ready.load_full() {
            return Ok(ready);
        }
        // Apart, as everything that is rare and large: it would make every call's future as large.
        Box::pin(self.greet(era)).await
    }

    async fn greet(self: &Arc<Self>, era: Option<Era>) -> Result<Arc<Ready>, Failure> {
        let _one_at_a_time = self.greeting.lock().await;
        if let Some(ready) = self.ready.load_full() {
            return Ok(ready);
        }
        let (ready, _) = greet(self, era).await.map_err(|failure| Failure {
            // What left was the greeting, not the call.
            sent: false,
            ..failure
        })?;
        let ready = Arc::new(ready);
        self.ready.store(Some(ready.clone()));
        Ok(ready)
    }

    /// Takes over what a probe on this line agreed on.
    pub fn adopt(&self, ready: Ready) {
        self.ready.store(Some(Arc::new(ready)));
    }

    /// Asks something that is no call.
    pub async fn ask_ready(self: &Arc<Self>, era: Era, outgoing: Outgoing<'_>) -> Result<Answer, Failure> {
        let ready = self.establish(Some(era)).await?;
        Ok(self.ask(&ready, outgoing).await?.answer)
    }

    /// How the next request is spoken, where that is known.
    pub fn current(&self) -> Option<Arc<Ready>> {
        self.ready.load_full()
    }

    /// Forgets a session that the upstream does not know any more.
    fn forget(&self, gone: &Ready) {
        self.ready.rcu(|now| now.as_ref().filter(|now| !std::ptr::eq(&***now, gone)).cloned());
    }

    /// Tells the upstream that a legacy call is not wanted any more. In the modern era, closing the
    /// response stream says so.
    pub async fn cancel(self: &Arc<Self>, id: u64) {
        let Some(ready) = self.ready.load_full().filter(|ready| !ready.is_modern()) else {
            return;
        };
        let body = envelope::cancelled(id);
        if let Err(failure) = self.tell(&ready, "notifications/cancelled", body).await {
            tracing::debug!(detail = failure.detail, "a cancellation did not arrive");
        }
    }

    /// Closes idle connections that are old.
    pub fn prune(&self) {
        self.idle.prune();
    }

    /// Closes idle connections and ends the legacy session.
    pub async fn close(self: &Arc<Self>) {
        if let Some(ready) = self.ready.swap(None)
            && ready.session().is_some()
        {
            self.end_session(&ready).await;
        }
        self.idle.clear();
    }
}

impl Line for Arc<HttpUpstream> {
    async fn ask(&self, ready: &Ready, outgoing: Outgoing<'_>) -> Result<Asked, Failure> {
        self.exchange(ready, outgoing, None, &mut |_: &RawValue| ()).await
    }

    async fn tell(&self, ready: &Ready, method: &'static str, body: String) -> Result<(), Failure> {
        self.send_only(ready, method, body).await
    }

    fn declares(&self) -> &str {
        &self.declares
    }

    async fn mend(&self) -> Result<(), Failure> {
        Ok(())
    }
}

fn auth_header(auth: &Auth) -> Result<Option<(HeaderName, HeaderValue)>, String> {
    let Auth::Header { name, value } = auth else {
        return Ok(None);
    };
    let header = HeaderName::try_from(name.as_str())
        .map_err(|_| format!("cannot be called: {} is not a header's name", Shown(name)))?;
    if RESERVED_HEADERS.contains(&header.as_str()) || header.as_str().starts_with("mcp-") {
        return Err(format!(
            "cannot be called: the header {} is not free to carry a credential",
            Shown(name)
        ));
    }
    // The parser's error would repeat nothing of the value, but neither may ours.
    let mut value = HeaderValue::from_str(value).map_err(|_| {
        format!(
            "cannot be called: the value for the header {} holds characters that no header can carry",
            Shown(name)
        )
    })?;
    value.set_sensitive(true);
    Ok(Some((header, value)))
}
