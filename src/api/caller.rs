//! Who asks, and what they may do.
//!
//! **Invariants.** No handler runs without a caller whose role its route allows. What a caller does
//! rests on the caller's key: once a key's revocation is acknowledged, nothing of it is written.

use std::cell::RefCell;
use std::future::{Future, Ready, ready};
use std::sync::Arc;

use actix_web::body::{EitherBody, MessageBody};
use actix_web::dev::{Payload, ServiceRequest, ServiceResponse};
use actix_web::http::{Method, header};
use actix_web::middleware::Next;
use actix_web::{FromRequest, HttpMessage as _, HttpRequest, ResponseError as _, web};
use proctor_domain::api_key::{ApiKey, Role, Standing};
use proctor_domain::watch::Door;
use proctor_domain::{By, Decider as _, KeyId, Micros, StreamId};

use super::problem::{Code, Problem};
use super::routes;
use crate::actors::{Answer, AskError, Kind, Prepared, now};
use crate::config::ADMIN_KEY_CHARS_MAX;
use crate::journal::{AppendError, Delivered};
use crate::proctor::Proctor;

/// Somebody with a valid API key.
#[derive(Clone, Debug)]
pub(super) struct Caller {
    /// The key.
    pub(super) key: KeyId,
    /// What it may do.
    pub(super) role: Role,
}

/// Why a caller's command was not carried out.
pub(super) enum NotDone<E: std::error::Error + 'static> {
    /// What it needs could not be prepared.
    NotPrepared(Problem),
    /// It was refused, or could not be written.
    Refused(AskError<E>),
}

impl Caller {
    pub(super) fn by(&self) -> By {
        By::Key(self.key.clone())
    }

    /// Has an entity carry out a command of this caller. `prepare` gathers what it rests on, beside
    /// the caller's key, and is called again when that has changed.
    pub(super) async fn act<A, F>(
        &self,
        proctor: &Proctor,
        id: &str,
        prepare: impl FnMut() -> F,
    ) -> Result<Vec<Delivered>, Problem>
    where
        A: Kind,
        F: Future<Output = Result<Prepared<A>, Problem>>,
        Problem: From<A::Error>,
    {
        self.try_to::<A, _>(proctor, id, prepare).await.map_err(|not_done| match not_done {
            NotDone::NotPrepared(problem) => problem,
            NotDone::Refused(error) => error.into(),
        })
    }

    /// The same for whoever has to know why it was refused.
    pub(super) async fn try_to<A, F>(
        &self,
        proctor: &Proctor,
        id: &str,
        mut prepare: impl FnMut() -> F,
    ) -> Result<Vec<Delivered>, NotDone<A::Error>>
    where
        A: Kind,
        F: Future<Output = Result<Prepared<A>, Problem>>,
    {
        let refused = RefCell::new(None);
        let answer: Answer<A> = proctor
            .directory
            .ask::<A, _>(id, || {
                let preparing = prepare();
                let refused = &refused;
                async move {
                    let prepared = async {
                        let ground = self.ground(proctor).await?;
                        let mut prepared = preparing.await?;
                        prepared.grounds.push(ground);
                        Ok(prepared)
                    };
                    prepared.await.map_err(|problem: Problem| {
                        *refused.borrow_mut() = Some(problem);
                        AskError::Unavailable(StreamId::of::<A>(id))
                    })
                }
            })
            .await;
        match refused.into_inner() {
            Some(problem) => Err(NotDone::NotPrepared(problem)),
            None => answer.map_err(NotDone::Refused),
        }
    }

    /// The same for a command that rests on nothing but its own stream and the caller's key.
    pub(super) async fn tell<A: Kind<Command: Clone>>(
        &self,
        proctor: &Proctor,
        id: &str,
        command: A::Command,
    ) -> Result<Vec<Delivered>, Problem>
    where
        Problem: From<A::Error>,
    {
        self.act::<A, _>(proctor, id, || ready(Ok(Prepared::alone(command.clone())))).await
    }

    /// Makes sure that the key still counts, for what writes nothing: after everything that any process
    /// has written until now.
    pub(super) async fn confirm(&self, proctor: &Proctor) -> Result<(), Problem> {
        match confirmed(proctor, &self.key).await? {
            Some(state) => role(&state, now()).map(drop),
            None => Ok(()),
        }
    }

    async fn ground(&self, proctor: &Proctor) -> Result<(StreamId, u64), Problem> {
        let state = proctor.directory.state::<ApiKey>(self.key.as_str()).await?;
        role(&state, now())?;
        Ok((StreamId::of::<ApiKey>(self.key.as_str()), state.version()))
    }
}

impl FromRequest for Caller {
    type Error = Problem;
    type Future = Ready<Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, _: &mut Payload) -> Self::Future {
        ready(request.extensions().get::<Self>().cloned().ok_or_else(worthless))
    }
}

/// Lets a request through to its handler if its key may do what its route is for.
pub(super) async fn authenticate<B: MessageBody>(
    request: ServiceRequest,
    next: Next<B>,
) -> Result<ServiceResponse<EitherBody<B>>, actix_web::Error> {
    match admit(&request).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            Ok(next.call(request).await?.map_into_left_body())
        }
        Err(problem) => Ok(request.into_response(problem.error_response()).map_into_right_body()),
    }
}

async fn admit(request: &ServiceRequest) -> Result<Caller, Problem> {
    let Some(proctor) = request.app_data::<web::Data<Proctor>>() else {
        return Err(Problem::new(Code::Stopping, "Proctor is not ready: try again soon"));
    };
    let caller = identify(request, proctor).await?;
    if proctor.is_stopping() && request.method() != Method::GET {
        return Err(Problem::new(
            Code::Stopping,
            "Proctor is stopping: try again at another replica or soon",
        ));
    }
    match routes::needs(request) {
        Some(needs) if !needs.allows(caller.role) => {
            let (role, path) = (role_name(caller.role), request.path());
            let detail = format!("this key has the role {role}, and {path} needs {needs}: use another key");
            Err(Problem::new(Code::Forbidden, detail))
        }
        // What there is no route for is answered by whoever finds that out.
        Some(_) | None => Ok(caller),
    }
}

async fn identify(request: &ServiceRequest, proctor: &Proctor) -> Result<Caller, Problem> {
    let failed = |reason, detail: &str| {
        proctor.failures.count(Door::Api, reason);
        Problem::new(Code::Unauthenticated, detail)
    };
    let header = request.headers().get(header::AUTHORIZATION).map(|value| value.to_str().unwrap_or_default());
    let Some(header) = header else {
        return Err(failed("missing", "no API key was sent: send it as Authorization: Bearer KEY"));
    };
    let key = header.split_once(' ').filter(|(scheme, _)| scheme.eq_ignore_ascii_case("bearer"));
    let Some(key) = key.map(|(_, key)| key.trim()).filter(|key| key.len() <= ADMIN_KEY_CHARS_MAX) else {
        return Err(failed("malformed", "this is no API key: send one as Authorization: Bearer KEY"));
    };
    let Some((id, state)) = proctor.api_keys.find(&proctor.directory, key).await? else {
        return Err(failed("unknown", "this API key is not known here: check it"));
    };
    let state = match request.method() {
        // What is only read rests on no key that is looked at under the lock, so it is looked at now.
        &Method::GET => confirmed(proctor, &id).await?.unwrap_or(state),
        _ => state,
    };
    let at = now();
    match role(&state, at) {
        Ok(role) => {
            proctor.api_keys.used(&id, at);
            Ok(Caller { key: id, role })
        }
        Err(problem) => {
            proctor.failures.count(Door::Api, "ended");
            Err(problem)
        }
    }
}

/// A key after everything that any process has written until now. None where the journal is halted:
/// what is there can be read by whoever could before.
async fn confirmed(proctor: &Proctor, key: &KeyId) -> Result<Option<Arc<ApiKey>>, Problem> {
    match proctor.journal.confirm().await {
        Ok(_) => Ok(Some(proctor.directory.state::<ApiKey>(key.as_str()).await?)),
        Err(AppendError::Halted(_)) => Ok(None),
        Err(error) => Err(error.into()),
    }
}

/// What a key may do at this time.
fn role(key: &ApiKey, at: Micros) -> Result<Role, Problem> {
    key.role(at).ok_or_else(|| match key.standing(at) {
        Standing::Expired => Problem::new(
            Code::ApiKeyExpired,
            "this API key has expired: have an administrator create another",
        ),
        Standing::Unknown | Standing::Active | Standing::Revoked => worthless(),
    })
}

fn worthless() -> Problem {
    Problem::new(Code::Unauthenticated, "this API key was revoked: use another")
}

pub(super) fn role_name(role: Role) -> &'static str {
    match role {
        Role::Admin => "admin",
        Role::Minter => "minter",
        Role::Auditor => "auditor",
    }
}
