//! An admitted call on its way to its upstream and back, and what is heard meanwhile.

use std::borrow::Cow;
use std::sync::Arc;
use std::time::Instant;

use proctor_domain::Event;
use proctor_domain::connection::Connection;
use proctor_domain::session::{Route, SessionEvent};
use serde_json::value::RawValue;

use super::ask::Sent;
use super::input::{self, Asker};
use super::limits::Bounds;
use super::result::{self, quoted_raw as quoted};
use super::wanting::Wants;
use super::{Speaker, rounds};
use crate::actors::{Flight, KeyringError};
use crate::journal::Delivered;
use crate::mcp::envelope::Meta;
use crate::mcp::{Knock, modern};
use crate::targets::TargetError;
use crate::upstream::{self, Admission, FailureKind, HeaderParam, Input, Pause, Target, Trace};

/// An admitted call on its way out and back.
pub(super) struct Travel<'a> {
    pub knock: &'a Knock,
    pub wants: &'a Wants<'a>,
    pub meta: &'a Meta<'a>,
    pub speaker: &'a Speaker<'a>,
    pub flight: &'a Flight,
    pub trace: Trace<'a>,
    /// What the upstream may know of the agent's abilities.
    pub declared: Option<Box<RawValue>>,
    pub asker: &'a Asker<'a>,
}

/// Why an admitted call has no way out.
#[derive(Debug, thiserror::Error)]
enum NoWay {
    #[error(transparent)]
    Target(#[from] TargetError),
    #[error(transparent)]
    Key(#[from] KeyringError),
}

impl Travel<'_> {
    /// How the call's upstream is reached, with the credential that it was admitted with.
    async fn target(&self, route: &Route, connection: &Connection) -> Result<Arc<Target>, NoWay> {
        let Knock { proctor, caller, .. } = self.knock;
        let Some(generation) = route.user_generation else {
            return Ok(proctor.targets.of(&route.connection, connection).await?);
        };
        let subject = &caller.terms.subject;
        let open =
            async || Ok(proctor.keyring.user_credential(subject, &route.connection, generation).await?);
        proctor.targets.of_user(&route.connection, connection, (subject, generation), open).await
    }

    /// Sends it, and waits for what comes back.
    pub async fn send(&self, admitted: &Delivered, sent: &Sent<'_>, begun: Instant) -> upstream::Outcome {
        let proctor = &self.knock.proctor;
        let (Event::Session(SessionEvent::ToolCallAdmitted { route, .. }), Some(admission)) =
            (&admitted.event, Admission::of(admitted, proctor.door.gate(proctor)))
        else {
            return not_sent(FailureKind::NotLet, "no admission was delivered".to_owned());
        };
        let target = match &sent.connection {
            Some(connection) if connection.generation() == route.generation => {
                self.target(route, connection).await
            }
            Some(_) | None => {
                return not_sent(FailureKind::NotLet, "the connection was reconfigured meanwhile".to_owned());
            }
        };
        let target = match target {
            Ok(target) => target,
            Err(error) => return not_sent(FailureKind::Configuration, error.to_string()),
        };
        let header_params = header_params(sent);
        let bounds = Bounds::of(sent, &proctor.config);
        let token = self.meta.progress_token.filter(|_| self.knock.accepts.stream);
        let pause = Pause::none();
        let level = self.speaker.log_level.filter(|_| !self.speaker.is_modern && sent.upstream_is_modern());
        let level = level.map(|level| quoted(level.code()));
        let mut meta = Cow::Borrowed(&self.meta.others);
        if let Some(level) = &level {
            meta.to_mut().push((modern::LOG_LEVEL_KEY.into(), level));
        }
        let call = upstream::Call {
            answers_requests: !self.speaker.is_modern,
            pause: &pause,
            ask: self.wants.ask(&sent.name, sent.arguments.as_deref()),
            progress_wanted: token.is_some(),
            client_info: self.speaker.client_info,
            client_capabilities: self.declared.as_deref(),
            input: Input {
                responses: self.wants.input.as_deref(),
                state: self.wants.continued.as_ref().and_then(|continued| continued.state.as_deref()),
            },
            meta: &meta,
            trace: self.trace,
            header_params: &header_params,
            answer_bytes_max: bounds.result_bytes_max,
        };
        let deadline = begun + bounds.deadline;
        let ears = Ears { travel: self, token, sent, pause: &pause };
        let subject = self.knock.caller.terms.subject.as_str();
        let cancel = self.flight.token().clone();
        proctor.upstreams.call(admission, &target, subject, call, deadline, cancel, ears).await
    }
}

/// What of an upstream's words goes on to the agent while its call is on the way.
struct Ears<'e> {
    travel: &'e Travel<'e>,
    token: Option<&'e RawValue>,
    sent: &'e Sent<'e>,
    pause: &'e Pause,
}

impl Ears<'_> {
    /// Whether it is a log message that the agent wants. A modern agent wants none unless it says so.
    fn wants_to_know(&self, notification: &RawValue) -> bool {
        let Some(level) = result::log_level(notification) else { return false };
        match self.travel.speaker.log_level {
            Some(least) => level >= least,
            None => !self.travel.speaker.is_modern,
        }
    }
}

impl upstream::Hears for Ears<'_> {
    fn notification(&mut self, notification: &RawValue) {
        if let Some(json) = self.token.and_then(|token| result::progress(notification, token)) {
            self.travel.knock.link.notify(json.as_bytes());
        } else if self.travel.knock.accepts.stream && self.wants_to_know(notification) {
            self.travel.knock.link.notify(notification.get().as_bytes());
        }
    }

    async fn request(&mut self, method: &str, params: Option<&RawValue>) -> Option<String> {
        let Travel { asker, flight, declared, .. } = self.travel;
        if !rounds::may_be_asked(declared.as_deref(), method, params) {
            return None;
        }
        let _paused = self.pause.begin();
        let (of, what) = ((flight.call(), self.sent.capture()), (method, params));
        match Box::pin(asker.ask(of, what, Some(flight.token()))).await {
            Ok(answer) => input::member(&answer),
            Err(error) => {
                tracing::debug!(%error, call = %flight.call(), "an upstream's wish for input is refused");
                None
            }
        }
    }
}

fn header_params(sent: &Sent<'_>) -> Vec<HeaderParam> {
    let params = sent.tool.iter().flat_map(|tool| &tool.upstream_header_params);
    params.filter_map(|param| HeaderParam::new(&param.header, param.path.clone())).collect()
}

fn not_sent(kind: FailureKind, detail: String) -> upstream::Outcome {
    upstream::Outcome::Failed { kind, detail, sent: false }
}
