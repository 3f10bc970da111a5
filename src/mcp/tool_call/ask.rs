//! What a call asks of its session, and what the answer rests on.
//!
//! **Invariants.** The arguments that are judged and sealed are the ones that are sent. All states
//! that an admission rests on are named with the version that was seen.

use std::borrow::Cow;
use std::sync::Arc;

use proctor_domain::connection::{Connection, Era};
use proctor_domain::session::{
    Access, CallGrounds, CallRequest, Client, HeldBack, Session, SessionCommand, Terms,
};
use proctor_domain::subject::Subject;
use proctor_domain::user_connection::UserConnection;
use proctor_domain::virtual_server::{Capture, VirtualServer, Wanted};
use proctor_domain::{CallId, Decider as _, Name, StreamId};
use proctor_projections::manifest::{ArgumentsError, ManifestTool, merge_arguments};
use serde_json::Map;
use serde_json::value::RawValue;

use super::Speaker;
use super::rounds::Continued;
use super::trace::Came;
use super::wanting::Wants;
use crate::actors::{Prepared, Sealed, new_id, now};
use crate::connect::{self, Due};
use crate::mcp::answer::{Fault, codes};
use crate::mcp::client::trace_id;
use crate::mcp::envelope::Meta;
use crate::mcp::members::is_object;
use crate::mcp::{Knock, lists};
use crate::payload::{self, Kept};
use crate::traces::Span;
use crate::vault::{SessionKey, Vault};

/// A call as its agent asks for it.
pub(super) struct Asked<'a> {
    pub knock: &'a Knock,
    pub call: CallId,
    pub wants: &'a Wants<'a>,
    pub key: &'a SessionKey,
    pub is_modern: bool,
    /// What the client can do, as it declared it.
    pub capabilities: Option<&'a RawValue>,
    /// What else its `_meta` says.
    meta: Option<Box<RawValue>>,
    client: Client,
    request_name: Option<String>,
    trace: Option<String>,
    /// What traces are told of it.
    pub span: &'a Span,
    /// A limit of what it uses that was found to be reached.
    held_back: Option<HeldBack>,
}

/// The states that a call rests on, as they are now.
pub(super) struct Gathered<'a> {
    pub request: CallRequest,
    pub grounds: CallGrounds,
    rests_on: Vec<(StreamId, u64)>,
    sent: Sent<'a>,
}

/// What is sent once the call is admitted.
pub(super) struct Sent<'a> {
    /// What the upstream calls it.
    pub name: String,
    pub tool: Option<Arc<ManifestTool>>,
    /// The name of its connection, where it is exposed.
    pub connection_name: Option<Name>,
    pub connection: Option<Arc<Connection>>,
    pub arguments: Option<Cow<'a, RawValue>>,
    /// Why the arguments cannot be sent.
    pub wrong: Option<ArgumentsError>,
    pub server: Arc<VirtualServer>,
}

impl Sent<'_> {
    /// How much of it is kept.
    pub fn capture(&self) -> Capture {
        self.server.definition().capture
    }

    /// Whether its upstream was found to be modern.
    pub fn upstream_is_modern(&self) -> bool {
        let catalog = self.connection.as_ref().and_then(|connection| connection.catalog());
        catalog.is_some_and(|catalog| catalog.era == Era::Modern)
    }
}

impl<'a> Asked<'a> {
    pub fn new(
        knock: &'a Knock,
        call: CallId,
        (wants, meta): (&'a Wants<'a>, &Meta<'_>),
        speaker: &Speaker<'a>,
        key: &'a SessionKey,
        (came, span): (&Came<'_>, &'a Span),
    ) -> Self {
        span.say("proctor.call.id", call.as_str());
        Self {
            knock,
            call,
            wants,
            key,
            is_modern: speaker.is_modern,
            capabilities: speaker.capabilities,
            meta: meta.others(),
            client: speaker.client.clone(),
            request_name: speaker.request_name.clone(),
            trace: span.trace_id().or_else(|| came.parent.and_then(trace_id)),
            span,
            held_back: None,
        }
    }

    /// Has it refused, unless it would be for another reason: a limit of what it uses is reached.
    pub fn hold_back(&mut self, gathered: &mut Gathered<'_>, held_back: HeldBack) {
        self.held_back = Some(held_back);
        gathered.request.held_back = Some(held_back);
    }

    /// The session's identifier.
    pub fn session(&self) -> &str {
        self.knock.caller.session_id.as_str()
    }

    /// The session's stream.
    pub fn stream(&self) -> StreamId {
        StreamId::of::<Session>(self.session())
    }

    /// Looks at the states that the call rests on.
    ///
    /// # Errors
    /// 503 when one cannot be had.
    pub async fn gather(&self) -> Result<Gathered<'a>, Fault> {
        let (proctor, caller) = (&self.knock.proctor, &self.knock.caller);
        let shown = proctor.manifests.of(caller.server()).await;
        let shown = shown.map_err(|error| lists::unavailable(&error))?;
        let subject_id = caller.terms.subject.as_str();
        let subject = proctor.directory.state::<Subject>(subject_id).await;
        let subject = subject.map_err(|error| Fault::unavailable(error.to_string()))?;
        let target = shown.server.target(&self.wants.what);
        let connection = target.as_ref().and_then(|to| shown.connections.get_key_value(to.connection));
        let mut rests_on = Vec::with_capacity(4);
        rests_on.push((StreamId::of::<Subject>(subject_id), subject.version()));
        rests_on.push((StreamId::of::<VirtualServer>(caller.server().as_str()), shown.server.version()));
        let mut user_connection = None;
        if let Some((name, connection)) = connection {
            rests_on.push((StreamId::of::<Connection>(name.as_str()), connection.version()));
            if connection.credential_kind().is_some() {
                let id = UserConnection::id(&caller.terms.subject, name);
                let state = proctor.directory.state::<UserConnection>(&id).await;
                let state = state.map_err(|error| Fault::unavailable(error.to_string()))?;
                rests_on.push((StreamId::of::<UserConnection>(&id), state.version()));
                user_connection = Some(state);
            }
        }
        let goes_elsewhere = |continued: &Continued| {
            target.as_ref().is_none_or(|target| *target.connection != continued.connection)
        };
        if self.wants.continued.as_ref().is_some_and(goes_elsewhere) {
            let message = "what this requestState goes on from is not exposed any more: ask again without it";
            return Err(Fault::new(codes::INVALID_PARAMS, message).with_code("invalid_request_state", None));
        }
        let (tool, fixed) = match &self.wants.what {
            Wanted::Tool(name) => (shown.tool(name).cloned(), shown.server.tool(name)),
            _ => (None, None),
        };
        let (arguments, wrong) = self.merged(fixed.and_then(|exposed| exposed.fixed_arguments.as_ref()));
        let (connection_name, connection) =
            connection.map(|(name, connection)| (name.clone(), Arc::clone(connection))).unzip();
        Ok(Gathered {
            request: CallRequest {
                call: self.call.clone(),
                wanted: self.wants.what.clone(),
                replica: proctor.replica.clone(),
                request: self.request_name.clone(),
                continues: self.wants.continued.as_ref().map(|continued| continued.call.clone()),
                client: self.client.clone(),
                trace: self.trace.clone(),
                arguments_bytes: arguments.as_ref().map_or(0, |raw| raw.get().len() as u64),
                arguments_ok: wrong.is_none(),
                held_back: self.held_back,
            },
            grounds: CallGrounds {
                subject,
                server: Arc::clone(&shown.server),
                connection: connection.clone(),
                user_connection,
            },
            rests_on,
            sent: Sent {
                name: target.map(|target| target.name.to_owned()).unwrap_or_default(),
                tool,
                connection_name,
                connection,
                arguments,
                wrong,
                server: Arc::clone(&shown.server),
            },
        })
    }

    /// The arguments as they will be sent; those that cannot be, as they came.
    fn merged(
        &self,
        fixed: Option<&Map<String, serde_json::Value>>,
    ) -> (Option<Cow<'a, RawValue>>, Option<ArgumentsError>) {
        if let Some(recorded) = self.wants.recorded() {
            return (Some(Cow::Owned(recorded)), None);
        }
        let arguments = self.wants.arguments();
        let as_they_came = arguments.map(Cow::Borrowed);
        if arguments.is_some_and(|arguments| !is_object(arguments)) {
            return (as_they_came, Some(ArgumentsError::NotAnObject));
        }
        match fixed.map(|fixed| merge_arguments(arguments, fixed)) {
            None => (as_they_came, None),
            Some(Ok(merged)) => (merged, None),
            Some(Err(wrong)) => (as_they_came, Some(wrong)),
        }
    }

    /// The command, with what is sealed beside its event.
    pub fn prepare(&self, gathered: Gathered<'a>) -> (Prepared<Session>, Sent<'a>) {
        let Gathered { request, grounds, rests_on, sent } = gathered;
        let address = self.knock.caller.address.map(|address| address.to_string());
        let arguments = sent.arguments.as_deref();
        let digest = digest(sent.capture(), arguments, &self.knock.proctor.vault);
        let payload =
            payload::Asked::new(address.as_deref(), kept(sent.capture(), arguments, digest.as_deref()));
        let is_kept = sent.capture() == Capture::Full;
        let meta = self.meta.as_deref();
        let input = self.wants.input.as_deref();
        let payload = payload.with(input.filter(|_| is_kept), meta.filter(|_| is_kept));
        let prepared = Prepared {
            command: SessionCommand::RequestToolCall { at: now(), request, grounds },
            grounds: rests_on,
            sealed: Some(sealed(self.key, &payload.to_bytes())),
            side_writes: Vec::new(),
        };
        (prepared, sent)
    }
}

impl Gathered<'_> {
    /// The name of the connection that it concerns.
    pub fn connection_name(&self) -> Option<&Name> {
        self.sent.connection_name.as_ref()
    }

    /// The user's account that the call needs, with its connection.
    pub fn account(&self) -> Option<(&Name, &Arc<UserConnection>)> {
        let account = self.grounds.user_connection.as_ref()?;
        Some((self.connection_name()?, account))
    }

    /// How soon the tokens of that account have to be renewed.
    pub fn due(&self) -> Due {
        self.grounds.user_connection.as_ref().map_or(Due::Later, |account| connect::due(account, now()))
    }

    /// Why the arguments cannot be sent.
    pub fn into_wrong(self) -> Option<ArgumentsError> {
        self.sent.wrong
    }

    /// The tool, unless it is hidden from a session on these terms.
    pub fn visible_tool(&self, terms: &Terms) -> Option<&ManifestTool> {
        let tool = self.sent.tool.as_deref()?;
        let chosen = terms.tools.as_ref().is_none_or(|tools| tools.contains(&tool.name));
        (chosen && (terms.access == Access::Full || tool.read_only)).then_some(tool)
    }
}

/// Seals what stands beside the next event, under an identifier made for it.
pub(super) fn sealed(key: &SessionKey, plain: &[u8]) -> Sealed {
    let event_id: Arc<str> = new_id("evt").into();
    let bytes = key.seal_payload(&event_id, plain).into();
    Sealed { event_id, bytes }
}

/// The keyed digest, where one stands for what is not kept.
pub(super) fn digest(capture: Capture, raw: Option<&RawValue>, vault: &Vault) -> Option<String> {
    let raw = raw.filter(|_| capture == Capture::Digest)?;
    Some(hex::encode(vault.digest(raw.get().as_bytes())))
}

/// As much as the virtual server keeps.
pub(super) fn kept<'k>(capture: Capture, raw: Option<&'k RawValue>, digest: Option<&'k str>) -> Kept<'k> {
    match (capture, raw, digest) {
        (Capture::Full, Some(raw), _) => Kept::Full(raw),
        (Capture::Digest, _, Some(digest)) => Kept::Digest(digest),
        (Capture::Full | Capture::Digest | Capture::None, ..) => Kept::Nothing,
    }
}
