//! `Idempotency-Key`: a POST that is sent again is not carried out again, and gets the same answer.
//!
//! **Invariants.** With one key of one caller, one request is carried out, on whichever replica it
//! arrives. One whose end nobody knows is never carried out again. A kept answer goes only to whoever
//! may still do what was asked.

use std::time::Duration;

use actix_web::body::{BoxBody, EitherBody, MessageBody, to_bytes};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::header::{HeaderName, HeaderValue};
use actix_web::http::{Method, StatusCode};
use actix_web::middleware::Next;
use actix_web::{HttpMessage as _, HttpRequest, HttpResponse, ResponseError as _, rt, web};
use proctor_domain::ReplicaId;
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::body;
use super::caller::Caller;
use super::problem::{Code, Problem};
use crate::proctor::Proctor;

/// The header with the client's name for one request.
pub(super) const HEADER: &str = "Idempotency-Key";
/// Says of an answer that it was given before.
pub(super) const REPLAYED_HEADER: &str = "idempotency-replayed";
/// Longest key, in characters.
pub(super) const KEY_CHARS_MAX: usize = 255;
/// How long a client waits for the first of two at a time.
const IN_PROGRESS_WAIT: Duration = Duration::from_secs(1);

/// What is kept of a request.
#[derive(Serialize, Deserialize)]
struct Kept {
    /// SHA-256 over what was asked, in hexadecimal.
    asked: String,
    became: Became,
}

#[derive(Serialize, Deserialize)]
enum Became {
    /// It was begun.
    Begun,
    /// It was answered.
    Answered(Answered),
    /// The journal could not say whether it was written.
    InDoubt,
}

#[derive(Serialize, Deserialize)]
struct Answered {
    status: u16,
    headers: Vec<(String, String)>,
    body: String,
}

/// One request with a key.
struct Request {
    proctor: web::Data<Proctor>,
    caller: Caller,
    /// By what it is found.
    id: String,
    asked: String,
}

/// Carries a POST with a key out once. Stands behind the authentication.
pub(super) async fn once<B: MessageBody + 'static>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    if request.method() != Method::POST || !request.headers().contains_key(HEADER) {
        return Ok(next.call(request).await?.map_into_left_body());
    }
    let (http, payload) = request.into_parts();
    match begin(&http, payload).await {
        Ok(Beginning::Before(response)) => Ok(ServiceResponse::new(http, response).map_into_right_body()),
        Ok(Beginning::Now(begun, bytes)) => {
            let request = ServiceRequest::from_parts(http, Payload::from(bytes));
            // Whoever asked may hang up: it is carried out to its end all the same, and asked for again.
            let carried_out = rt::spawn(carry_out(begun, next, request)).await;
            let response =
                carried_out.map_err(|error| Problem::internal("carry out a request", &error))??;
            Ok(response.map_into_right_body())
        }
        Err(problem) => Ok(ServiceResponse::new(http, problem.error_response()).map_into_right_body()),
    }
}

enum Beginning {
    /// It is carried out for the first time.
    Now(Request, web::Bytes),
    /// It was begun before: that is the answer.
    Before(HttpResponse),
}

async fn begin(http: &HttpRequest, payload: Payload) -> Result<Beginning, Problem> {
    let not_ready = || Problem::new(Code::Stopping, "Proctor is not ready: try again soon");
    let proctor = http.app_data::<web::Data<Proctor>>().cloned().ok_or_else(not_ready)?;
    let caller = http.extensions().get::<Caller>().cloned().ok_or_else(not_ready)?;
    let key = key(http)?;
    let bytes = body::read(http, payload).await?.freeze();
    let id = hash(&[caller.key.as_str().as_bytes(), key.as_bytes()]);
    let asked = hash(&[http.uri().to_string().as_bytes(), &bytes]);
    let request = Request { proctor, caller, id, asked };
    Ok(match request.begin().await? {
        None => Beginning::Now(request, bytes),
        Some(before) => Beginning::Before(before),
    })
}

fn key(http: &HttpRequest) -> Result<String, Problem> {
    let mut keys = http.headers().get_all(HEADER);
    let (first, second) = (keys.next(), keys.next());
    first
        .filter(|_| second.is_none())
        .and_then(|key| key.to_str().ok())
        .filter(|key| (1..=KEY_CHARS_MAX).contains(&key.len()) && key.bytes().all(|byte| byte.is_ascii_graphic()))
        .map(ToOwned::to_owned)
        .ok_or_else(|| {
            let detail = format!(
                "this is no {HEADER}: send one of 1 to {KEY_CHARS_MAX} visible ASCII characters, such as a random UUID"
            );
            Problem::new(Code::InvalidIdempotencyKey, detail)
        })
}

/// SHA-256 over the fields, each with its length in bytes in front (64 bits, big-endian), in hexadecimal.
fn hash(fields: &[&[u8]]) -> String {
    let mut hash = Sha256::new();
    for field in fields {
        hash.update((field.len() as u64).to_be_bytes());
        hash.update(field);
    }
    hex::encode(hash.finalize())
}

impl Request {
    /// Begins it, or answers what became of it.
    async fn begin(&self) -> Result<Option<HttpResponse>, Problem> {
        let Self { proctor, id, .. } = self;
        let now = proctor.journal.reader().now().await?;
        let sealed = self.sealed(Became::Begun);
        let replica = proctor.journal.replica();
        let Some(before) = proctor.idempotent_requests.begin(id, replica, now, sealed).await? else {
            return Ok(None);
        };
        let kept = proctor.vault.open_answer(id, &before.sealed);
        let kept = kept.map_err(|error| Problem::internal("open a kept answer", &error))?;
        let kept: Kept =
            serde_json::from_slice(&kept).map_err(|error| Problem::internal("read a kept answer", &error))?;
        if kept.asked != self.asked {
            let detail = format!(
                "this {HEADER} was sent before with another request: send each request with a key of its own"
            );
            return Err(Problem::new(Code::IdempotencyKeyReused, detail));
        }
        match kept.became {
            Became::Answered(answered) => {
                // It may hold what only this caller may have.
                self.caller.confirm(proctor).await?;
                Ok(Some(answered.again()?))
            }
            Became::InDoubt => Err(in_doubt()),
            Became::Begun if self.is_alive(&before.replica).await? => {
                let detail = "the same request is being carried out: ask again in a moment";
                Err(Problem::new(Code::RequestInProgress, detail).retried_after(IN_PROGRESS_WAIT))
            }
            Became::Begun => Err(in_doubt()),
        }
    }

    /// Whether the replica that began it may still be at it.
    async fn is_alive(&self, replica: &ReplicaId) -> Result<bool, Problem> {
        if replica == self.proctor.journal.replica() {
            return Ok(true);
        }
        let reader = self.proctor.journal.reader();
        let (leases, now) = (reader.leases().await?, reader.now().await?);
        Ok(leases.iter().any(|lease| lease.replica == *replica && lease.ends_at > now))
    }

    fn sealed(&self, became: Became) -> Vec<u8> {
        let kept = Kept { asked: self.asked.clone(), became };
        let plain = serde_json::to_vec(&kept).expect("text and numbers are always JSON");
        self.proctor.vault.seal_answer(&self.id, &plain)
    }

    /// Keeps what became of it. Should that fail, it stays begun, and is in doubt for whoever asks again
    /// once this replica is gone.
    async fn end(&self, code: Option<Code>, answered: Option<Answered>) {
        let Self { proctor, id, .. } = self;
        let replica = proctor.journal.replica();
        let became = match (code, answered) {
            (Some(Code::InDoubt), _) | (_, None) => Some(Became::InDoubt),
            (code, Some(answered)) => answered.lasts(code).then_some(Became::Answered(answered)),
        };
        let kept = match became {
            Some(became) => proctor.idempotent_requests.end(id, replica, self.sealed(became)).await,
            None => proctor.idempotent_requests.give_up(id, replica).await,
        };
        if let Err(error) = kept {
            tracing::error!(%error, "failed to keep the answer of a request with an Idempotency-Key");
        }
    }
}

async fn carry_out<B: MessageBody + 'static>(
    begun: Request,
    next: Next<B>,
    request: ServiceRequest,
) -> Result<ServiceResponse<BoxBody>, actix_web::Error> {
    let called = rt::spawn(async move { next.call(request).await });
    let response = match called.await {
        Ok(Ok(response)) => response,
        Ok(Err(error)) => {
            begun.end(None, None).await;
            return Err(error);
        }
        Err(panic) => {
            begun.end(None, None).await;
            return Err(Problem::internal("carry out a request", &panic).into());
        }
    };
    let (http, response) = response.into_parts();
    let code = response.extensions().get::<Code>().copied();
    let (head, body) = response.into_parts();
    let Ok(bytes) = to_bytes(body).await else {
        begun.end(None, None).await;
        return Err(Problem::new(Code::Internal, "failed to answer: see Proctor's log").into());
    };
    let headers = head
        .headers()
        .iter()
        .filter_map(|(name, value)| Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned())));
    let answered = String::from_utf8(bytes.to_vec()).ok().map(|body| Answered {
        status: head.status().as_u16(),
        headers: headers.collect(),
        body,
    });
    begun.end(code, answered).await;
    Ok(ServiceResponse::new(http, head.set_body(BoxBody::new(bytes))))
}

impl Answered {
    /// Whether it is the answer for a day. What failed for a while may be tried again.
    fn lasts(&self, code: Option<Code>) -> bool {
        let for_a_while = [401, 408, 429].contains(&self.status) || code == Some(Code::WrittenMeanwhile);
        self.status < 500 && !for_a_while
    }

    fn again(self) -> Result<HttpResponse, Problem> {
        let broken = |error: &dyn std::error::Error| Problem::internal("read a kept answer", error);
        let mut response =
            HttpResponse::new(StatusCode::from_u16(self.status).map_err(|error| broken(&error))?);
        let headers = response.headers_mut();
        for (name, value) in &self.headers {
            let name = HeaderName::try_from(&**name).map_err(|error| broken(&error))?;
            headers.append(name, HeaderValue::try_from(&**value).map_err(|error| broken(&error))?);
        }
        headers.insert(HeaderName::from_static(REPLAYED_HEADER), HeaderValue::from_static("true"));
        Ok(response.set_body(BoxBody::new(self.body)))
    }
}

fn in_doubt() -> Problem {
    let detail = format!(
        "nobody knows whether this request was carried out, as the process that began it is gone or could \
         not tell: look what stands there (GET /api/v1/audit/acts), and send what is missing with another \
         {HEADER}"
    );
    Problem::new(Code::OutcomeUnknown, detail)
}
