//! `POST /sessions`: opens a session for a user on a virtual server, and mints its token.

use std::collections::BTreeMap;
use std::sync::Arc;

use actix_web::{HttpResponse, web};
use proctor_domain::limits::SessionLimits;
use proctor_domain::session::{
    Access, Opening, OpeningGrounds, Session, SessionCommand, SessionError, SessionEvent,
    TTL_SECONDS_DEFAULT, Terms,
};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::{LINK_SECONDS_DEFAULT, Status};
use proctor_domain::virtual_server::{TOOLS_MAX, VirtualServer};
use proctor_domain::{Decider as _, Event, Name, StreamId, SubjectId};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use url::Url;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::{Caller, NotDone};
use super::super::filters::LABEL_SEPARATORS;
use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use super::super::time;
use super::super::users;
use crate::actors::{AskError, Prepared, Sealed, new_id, now};
use crate::journal::{Delivered, SideWrite};
use crate::opening::{self, USER_CHARS_MAX, user_fits};
use crate::payload;
use crate::proctor::Proctor;
use crate::vault::{Claims, SessionKey};

const LABELS_MAX: usize = 20;
const LABEL_KEY_CHARS_MAX: usize = 64;
const LABEL_VALUE_CHARS_MAX: usize = 256;
const MICROS_PER_SECOND: i64 = 1_000_000;

/// The terms that are asked for.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewSession)]
pub(in crate::api) struct Minting {
    #[schema(value_type = words::Name)]
    virtual_server: Name,
    /// As your product knows them.
    #[schema(min_length = 1, max_length = 512)]
    user: String,
    /// How long it lasts: an hour when nothing is said.
    #[schema(minimum = 60, maximum = 86_400)]
    ttl_seconds: Option<u32>,
    #[schema(value_type = Option<words::Access>)]
    access: Option<Access>,
    /// The tools that it is confined to, as agents know them.
    #[schema(max_items = 500)]
    tools: Option<Vec<String>>,
    /// What it is to be found by; at most 20.
    labels: Option<BTreeMap<String, String>>,
    #[schema(value_type = Option<words::SessionLimits>)]
    limits: Option<SessionLimits>,
    /// Whether a refusal for missing accounts brings links to connect them.
    #[serde(default)]
    include_links: bool,
    /// Where those links lead back to.
    #[schema(format = "uri")]
    return_url: Option<String>,
}

/// A session that was opened. Its token is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = MintedSession)]
pub(super) struct Minted {
    session_id: String,
    /// What the agent sends as `Authorization: Bearer`.
    token: String,
    /// Where the agent connects.
    mcp_server_url: String,
    #[schema(format = DateTime)]
    expires_at: String,
}

pub(in crate::api) async fn mint(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<Minting>,
) -> Result<HttpResponse, Problem> {
    body.check()?;
    let subject = users::reference(&proctor, &caller, &body.user).await?;
    let session = new_id("ses");
    let key = proctor.keyring.subject_key(&subject).await?;
    let (key, wrapped) = key.new_session_key(&session);
    let return_url = body.return_url()?;
    let opened_or_not = open(&proctor, &caller, &session, &body, &subject, &key, wrapped).await;
    let events = match opened_or_not {
        Ok(events) => events,
        Err(NotDone::NotPrepared(problem)) => return Err(problem),
        Err(NotDone::Refused(error)) => {
            return Err(match (&error, &return_url) {
                (AskError::Nonsense(SessionError::AccountsMissing(missing)), Some(url)) => {
                    let linked = with_links(&proctor, &caller, &subject, missing, url).await?;
                    Problem::from(error).with("missing", linked)
                }
                _ => error.into(),
            });
        }
    };
    proctor.keyring.keep(&session, Arc::new(key));

    let (terms, at) = opened(&events)?;
    let mcp_server_url = proctor.mcp_server_url(terms.virtual_server.as_str());
    let token = proctor.vault.tokens().mint(&Claims {
        issuer: proctor.public_url.as_str().to_owned(),
        audience: mcp_server_url.clone(),
        subject: subject.to_string(),
        session: session.clone(),
        issued_at_s: at.div_euclid(MICROS_PER_SECOND),
        // Rounded up: that its time is over is for the session to say, on the record.
        expires_at_s: (terms.expires_at.0 + MICROS_PER_SECOND - 1).div_euclid(MICROS_PER_SECOND),
    });
    let position = proctor.directory.position_of(&events);
    let place = format!("/api/v1/sessions/{session}");
    let expires_at = time::shown(terms.expires_at);
    let minted = Minted { session_id: session, token, mcp_server_url, expires_at };
    Ok(answer::created(position, &place, &minted))
}

impl Minting {
    fn check(&self) -> Result<(), Problem> {
        let wrong = |detail: String| Err(Problem::new(Code::InvalidTerms, detail));
        let fits = |text: &str, chars_max| (1..=chars_max).contains(&text.chars().count());
        if !user_fits(&self.user) {
            return wrong(format!("user must have 1 to {USER_CHARS_MAX} characters"));
        }
        if self.tools.as_ref().is_some_and(|tools| tools.len() > TOOLS_MAX) {
            return wrong(format!("tools may name {TOOLS_MAX} tools: leave it out to allow all"));
        }
        let labels = self.labels.iter().flatten();
        if labels.clone().count() > LABELS_MAX {
            return wrong(format!("there may be {LABELS_MAX} labels: leave some out"));
        }
        for (key, value) in labels {
            if !fits(key, LABEL_KEY_CHARS_MAX) || key.contains(LABEL_SEPARATORS) {
                return wrong(format!(
                    "a label's key must have 1 to {LABEL_KEY_CHARS_MAX} characters, none of them : or ="
                ));
            }
            if value.chars().count() > LABEL_VALUE_CHARS_MAX {
                return wrong(format!(
                    "the label {} has more than {LABEL_VALUE_CHARS_MAX} characters: shorten it",
                    key.escape_debug()
                ));
            }
        }
        self.limits().check("limits").or_else(|error| wrong(error.to_string()))
    }

    /// Where links lead back to, when they are asked for.
    fn return_url(&self) -> Result<Option<Url>, Problem> {
        match (self.include_links, &self.return_url) {
            (false, _) => Ok(None),
            (true, Some(url)) => users::return_url(url).map(Some),
            (true, None) => {
                let detail = "include_links is set: give the return_url to which users come back as well";
                Err(Problem::new(Code::InvalidTerms, detail))
            }
        }
    }

    fn limits(&self) -> SessionLimits {
        self.limits.unwrap_or_default()
    }

    fn opening(&self, proctor: &Proctor, caller: &Caller, subject: &SubjectId) -> Opening {
        let labels = self.labels.iter().flatten();
        let index =
            |(key, value): (&String, &String)| hex::encode(proctor.vault.label_indexes(key, value)[0]);
        Opening {
            by: caller.by(),
            subject: subject.clone(),
            virtual_server: self.virtual_server.clone(),
            access: self.access.unwrap_or_default(),
            tools: self.tools.clone(),
            until: None,
            ttl_seconds: self.ttl_seconds.unwrap_or(TTL_SECONDS_DEFAULT),
            limits: self.limits(),
            label_indexes: labels.map(index).collect(),
        }
    }
}

async fn open(
    proctor: &Proctor,
    caller: &Caller,
    session: &str,
    body: &Minting,
    subject: &SubjectId,
    key: &SessionKey,
    wrapped: Vec<u8>,
) -> Result<Vec<Delivered>, NotDone<SessionError>> {
    let opening = body.opening(proctor, caller, subject);
    let event_id: Arc<str> = new_id("evt").into();
    let sealed = body.labels.as_ref().filter(|labels| !labels.is_empty()).map(|labels| {
        let plain = payload::Opened { labels: labels.clone() }.to_bytes();
        Sealed { event_id: Arc::clone(&event_id), bytes: key.seal_payload(&event_id, &plain).into() }
    });
    caller
        .try_to::<Session, _>(proctor, session, || {
            let (opening, sealed) = (opening.clone(), sealed.clone());
            let session_key = SideWrite::SessionKey { session: session.to_owned(), wrapped: wrapped.clone() };
            async move {
                let (server, user) = tokio::try_join!(
                    async {
                        let name = opening.virtual_server.as_str();
                        Ok::<_, Problem>(proctor.directory.fresh::<VirtualServer>(name).await?)
                    },
                    async { Ok(proctor.directory.fresh::<Subject>(subject.as_str()).await?) },
                )?;
                let (user_connections, mut grounds) =
                    opening::accounts::<Problem>(&proctor.directory, Some(subject), &server).await?;
                grounds.extend([
                    (StreamId::of::<VirtualServer>(opening.virtual_server.as_str()), server.version()),
                    (StreamId::of::<Subject>(subject.as_str()), user.version()),
                ]);
                let rests_on = OpeningGrounds { subject: user, server, user_connections, provider: None };
                let command = SessionCommand::Open { at: now(), opening, grounds: rests_on };
                Ok(Prepared { command, grounds, sealed, side_writes: vec![session_key] })
            }
        })
        .await
}

/// The accounts that are missing, each with a link to connect it.
async fn with_links(
    proctor: &Proctor,
    caller: &Caller,
    subject: &SubjectId,
    missing: &[(Name, Status)],
    return_url: &Url,
) -> Result<Vec<Value>, Problem> {
    let mut shown = Vec::with_capacity(missing.len());
    for (name, status) in missing {
        let (link, _) =
            users::issue(proctor, caller, subject, name, return_url, LINK_SECONDS_DEFAULT).await?;
        shown.push(json!({ "connection": name, "status": status, "link": link }));
    }
    Ok(shown)
}

/// The terms that stand in the journal, and when they were recorded.
fn opened(events: &[Delivered]) -> Result<(Terms, i64), Problem> {
    match events.first().map(|event| (&event.event, event.place.recorded_at)) {
        Some((Event::Session(SessionEvent::SessionOpened { terms, .. }), at)) => Ok((terms.clone(), at.0)),
        _ => Err(Problem::new(Code::Internal, "failed to open a session: the journal answered otherwise")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(more: &str) -> String {
        let json = format!(r#"{{"virtual_server":"desk","user":"ada"{more}}}"#);
        let minting: Minting = serde_json::from_str(&json).unwrap();
        let problem = minting.check().unwrap_err();
        assert_eq!(problem.code, Code::InvalidTerms);
        problem.detail
    }

    #[test]
    fn terms_beyond_the_limits_are_refused_with_the_limit() {
        let many = (0..=LABELS_MAX).map(|n| format!(r#""k{n}":"v""#)).collect::<Vec<_>>().join(",");
        assert!(refused(&format!(r#","labels":{{{many}}}"#)).contains("20"));
        assert!(refused(r#","labels":{"":"v"}"#).contains("64"));
        assert!(refused(r#","labels":{"a:b":"v"}"#).contains("none of them"));
        assert!(refused(&format!(r#","labels":{{"k":"{}"}}"#, "é".repeat(257))).contains("256"));
        assert!(refused(r#","limits":{"calls_max":0}"#).contains("limits.calls_max is 0"));
        assert!(refused(r#","limits":{"calls_per_minute_max":6001}"#).contains("1 to 6000"));
    }

    #[test]
    fn what_is_left_out_or_null_has_its_default() {
        for json in [
            r#"{"virtual_server":"desk","user":"ada"}"#,
            r#"{"virtual_server":"desk","user":"ada","ttl_seconds":null,"access":null,"tools":null,"labels":null}"#,
        ] {
            let minting: Minting = serde_json::from_str(json).unwrap();
            minting.check().unwrap();
            assert!(minting.limits().is_empty());
        }
    }
}
