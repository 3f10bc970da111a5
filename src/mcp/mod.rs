//! The agents' door: `/mcp/{virtual_server}`, both eras of the protocol on one endpoint.
//!
//! An `initialize` request selects the legacy era, `_meta` with a protocol version the modern one.
//! A request is handled in this order: [`auth`] finds the session, [`envelope`] takes the message
//! apart, [`modern`] or [`legacy`] finds the method, and [`tool_call`] does what all of it is for.
//!
//! **Invariants.** No permission is decided here: sessions decide. Nothing leaves without a
//! delivered admission, and no outcome is answered that is not on the record. Arguments and results
//! go through as the bytes that were sent.

mod answer;
mod auth;
mod capabilities;
mod client;
mod envelope;
mod gate;
mod legacy;
mod link;
mod lists;
mod login;
mod measures;
mod members;
mod modern;
mod repeats;
mod resources_list;
mod sse;
mod streams;
mod tool_call;

use std::rc::Rc;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use actix_web::http::StatusCode;
use actix_web::http::header::{ALLOW, CONTENT_LENGTH, CONTENT_TYPE};
use actix_web::{HttpRequest, HttpResponse, web};
use bytes::{Bytes, BytesMut};
use futures_util::StreamExt as _;
use proctor_domain::virtual_server::VirtualServer;
use prometheus_client::registry::Registry;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::proctor::Proctor;
use crate::upstream::Gate;
use answer::{Fault, codes, push_text};
use auth::Caller;
use envelope::Message;
use link::{Accepts, Done, Link};

/// The form of events that has more than calls of tools.
const FORM_BEYOND_TOOLS: u32 = 3;
/// How long a client may take to send a request's body.
const BODY_WAIT: Duration = Duration::from_secs(30);

/// What the door keeps in mind, beside what the journal knows.
#[derive(Default)]
pub struct Door {
    streams: streams::Streams,
    repeats: repeats::Repeats,
    measures: measures::Measures,
    gate: OnceLock<Arc<dyn Gate>>,
    /// Cancelled when open streams have to end.
    closing: CancellationToken,
}

impl Door {
    /// How many streams of notifications are open.
    #[must_use]
    pub fn open_streams(&self) -> usize {
        self.streams.open()
    }

    /// Adds what it counts.
    pub fn register(&self, registry: &mut Registry) {
        self.measures.register(registry);
    }

    fn gate(&self, proctor: &Proctor) -> Arc<dyn Gate> {
        let new = || Arc::new(gate::HeadGate::new(Arc::clone(&proctor.calls), proctor.journal.clone())) as _;
        Arc::clone(self.gate.get_or_init(new))
    }
}

/// Adds the door to a web application whose data is [`Proctor`].
pub fn configure(config: &mut web::ServiceConfig) {
    config
        .service(
            web::resource("/mcp/{virtual_server}")
                .route(web::post().to(post))
                .route(web::get().to(get))
                .default_service(web::to(not_allowed)),
        )
        .service(
            web::resource([auth::METADATA_PATH, "{virtual_server}"].concat())
                .route(web::get().to(auth::metadata)),
        );
}

/// Writes down the repeats that were counted. Called every minute, and when Proctor stops; then it
/// ends the open streams, too.
pub async fn flush(proctor: &Proctor) {
    if proctor.is_stopping() {
        proctor.door.closing.cancel();
    }
    proctor.door.repeats.flush(&proctor.directory).await;
}

/// One request, once its caller is known.
struct Knock {
    proctor: web::Data<Proctor>,
    request: HttpRequest,
    caller: Caller,
    accepts: Accepts,
    link: Rc<Link>,
}

impl Knock {
    /// Whether every live process reads what is written of anything but plain calls of tools.
    fn all_read(&self) -> bool {
        self.proctor.drifts.form_read_by_all() >= FORM_BEYOND_TOOLS
    }

    /// Refuses what would write something that a live process of an older version cannot read.
    ///
    /// # Errors
    /// 503 while there is one.
    fn check_all_read(&self) -> Result<(), Fault> {
        let message =
            "a replica of an older version is still running, which does not know of this: try again later";
        if self.all_read() { Ok(()) } else { Err(Fault::unavailable(message)) }
    }
}

async fn post(request: HttpRequest, payload: web::Payload, proctor: web::Data<Proctor>) -> HttpResponse {
    match receive(&request, payload, &proctor).await {
        Ok((caller, accepts, body)) => {
            let link = Link::new(Arc::clone(&proctor.calls));
            let knock = Knock { proctor, request, caller, accepts, link: Rc::clone(&link) };
            link::respond(Box::pin(handle(knock, body)), link, accepts).await
        }
        Err(fault) => fault.reply("null").into_response(),
    }
}

/// Everything that comes before the message itself.
async fn receive(
    request: &HttpRequest,
    payload: web::Payload,
    proctor: &Proctor,
) -> Result<(Caller, Accepts, Bytes), Fault> {
    let caller = let_in(request, proctor).await?;
    let json = |kind: &str| {
        kind.split(';').next().is_some_and(|k| k.trim().eq_ignore_ascii_case("application/json"))
    };
    if !request.headers().get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).is_some_and(json) {
        return Err(Fault::new(codes::INVALID_REQUEST, "Content-Type must be application/json")
            .with_status(StatusCode::UNSUPPORTED_MEDIA_TYPE));
    }
    let accepts = Accepts::of(request);
    if !accepts.json && !accepts.stream {
        let message = "Accept must allow application/json or text/event-stream";
        return Err(Fault::new(codes::INVALID_REQUEST, message).with_status(StatusCode::NOT_ACCEPTABLE));
    }
    let body = timeout(BODY_WAIT, read(request, payload, proctor.config.body_bytes_max)).await;
    let body = body.unwrap_or_else(|_| {
        Err(Fault::new(codes::INVALID_REQUEST, "the body did not arrive in time")
            .with_status(StatusCode::REQUEST_TIMEOUT))
    })?;
    Ok((caller, accepts, body))
}

/// Finds out who knocks.
async fn let_in(request: &HttpRequest, proctor: &Proctor) -> Result<Caller, Fault> {
    auth::check_addressing(request, proctor)?;
    let no_such_server = || {
        Fault::new(codes::INVALID_REQUEST, "there is no virtual server of this name")
            .with_status(StatusCode::NOT_FOUND)
    };
    let server = auth::server_named(request).ok_or_else(no_such_server)?;
    if proctor.is_stopping() {
        return Err(Fault::unavailable("Proctor is shutting down: try again at another replica or soon"));
    }
    auth::caller(request, &server, proctor).await
}

async fn read(request: &HttpRequest, mut payload: web::Payload, bytes_max: usize) -> Result<Bytes, Fault> {
    let too_large = || {
        let message = format!("the body is larger than {bytes_max} bytes");
        Err(Fault::new(codes::INVALID_REQUEST, message)
            .with_status(StatusCode::PAYLOAD_TOO_LARGE)
            .with_code("body_too_large", None))
    };
    let announced =
        request.headers().get(CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: u64| length > bytes_max as u64) {
        return too_large();
    }
    let broken = |_| Fault::malformed(codes::PARSE, "the body could not be read");
    let Some(first) = payload.next().await else { return Ok(Bytes::new()) };
    let first = first.map_err(broken)?;
    if first.len() > bytes_max {
        return too_large();
    }
    // Most bodies arrive whole.
    let Some(second) = payload.next().await else { return Ok(first) };
    let mut body = BytesMut::from(first);
    let mut chunk = Some(second);
    while let Some(bytes) = chunk {
        let bytes = bytes.map_err(broken)?;
        if body.len() + bytes.len() > bytes_max {
            return too_large();
        }
        body.extend_from_slice(&bytes);
        chunk = payload.next().await;
    }
    Ok(body.freeze())
}

/// Finds the era that a message is of, and has it answered.
async fn handle(knock: Knock, body: Bytes) -> Done {
    let message = match envelope::parse(&body) {
        Ok(message) => message,
        Err(malformed) => return Done::Reply(malformed.fault.reply(malformed.id)),
    };
    match message {
        Message::Answer(_) if modern::is_named(&knock.request) => {
            let fault = Fault::malformed(codes::INVALID_REQUEST, "a message must have a method");
            Done::Reply(fault.reply("null"))
        }
        Message::Answer(answered) => Done::Reply(legacy::answered(&knock, &answered).await),
        Message::Notification(notification) if modern::speaks(&knock.request, &notification) => {
            Done::Reply(modern::notice(&knock, &notification))
        }
        Message::Notification(notification) => Done::Reply(legacy::notice(&knock, &notification).await),
        Message::Request(request) => {
            let id = request.id;
            let done = match modern::speaks(&knock.request, &request) {
                true => modern::answer(&knock, &request).await,
                false => legacy::answer(&knock, &request).await,
            };
            done.unwrap_or_else(|fault| Done::Reply(fault.reply(id)))
        }
    }
}

/// `GET`: the stream of notifications that the legacy era has. The modern one has none.
async fn get(request: HttpRequest, proctor: web::Data<Proctor>) -> HttpResponse {
    if !request.headers().contains_key(answer::MCP_SESSION_ID) {
        return not_allowed().await;
    }
    legacy::stream(&request, proctor).await.unwrap_or_else(|fault| fault.reply("null").into_response())
}

async fn not_allowed() -> HttpResponse {
    HttpResponse::MethodNotAllowed().insert_header((ALLOW, "POST")).finish()
}

/// What this door says of itself for a virtual server: never what stands behind it.
fn server_info(server: &VirtualServer, name: &str) -> String {
    let mut json = String::from("{\"name\":");
    push_text(&mut json, name);
    json.push_str(",\"version\":\"");
    json.push_str(&server.revision().to_string());
    json.push_str("\"}");
    json
}
