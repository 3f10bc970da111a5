//! Calls that may not leave, and how the agent is told.
//!
//! **Invariants.** A tool that the session does not show is unknown, whatever else is wrong with
//! it: nobody learns from a refusal what others may call.

use std::error::Error;

use proctor_domain::session::{Denial, Refusal, Session, SessionError};
use proctor_domain::{CallId, Name};
use proctor_projections::manifest::ArgumentsError;

use super::ask::Asked;
use super::asking::asking;
use super::limits::retry_after_seconds;
use crate::actors::{AskError, now};
use crate::mcp::answer::{Fault, codes};

/// The answer to a refused call.
pub(super) fn fault(
    asked: &Asked<'_>,
    reason: Refusal,
    call: &CallId,
    (wrong, connection): (Option<ArgumentsError>, Option<&Name>),
    retry_after_seconds: Option<u32>,
) -> Fault {
    asked.knock.proctor.door.measures.refused(asked.knock.caller.server(), connection, reason);
    asked.span.say("proctor.outcome", "refused");
    asked.span.say("proctor.refusal", reason.code());
    let limited = |what: String| {
        let again = retry_after_seconds.map_or("soon".to_owned(), |seconds| format!("in {seconds} s"));
        let fault =
            Fault::new(codes::REFUSED, format!("{what}, so the call was not made: try again {again}"));
        fault.with_code(reason.code(), Some(call.as_str())).with_retry(retry_after_seconds)
    };
    match reason {
        Refusal::CallsMaxReached => {
            let most = asked.knock.caller.terms.calls_max;
            let message = format!("this session has used up its {most} calls: ask for a new session");
            Fault::new(codes::REFUSED, message).with_code(reason.code(), Some(call.as_str()))
        }
        Refusal::SessionRevoked
        | Refusal::SessionExpired
        | Refusal::SubjectCut
        | Refusal::SubjectBlocked
        | Refusal::VirtualServerCut
        | Refusal::VirtualServerRetired => asked
            .knock
            .caller
            .ended(&asked.knock.proctor, reason)
            .with_code(reason.code(), Some(call.as_str())),
        Refusal::NotInScope
        | Refusal::NotReadOnly
        | Refusal::NotInCatalog
        | Refusal::ConnectionCut
        | Refusal::ConnectionRetired => asked.wants.unknown(asked.is_modern, call.as_str()),
        Refusal::UserConnectionMissing => {
            let message =
                "the user has connected no account that this tool needs: ask the user to connect one";
            Fault::new(codes::REFUSED, message).with_code(reason.code(), Some(call.as_str()))
        }
        Refusal::UserConnectionExpired | Refusal::UserConnectionDisconnected => {
            let message = "the user's account that this tool needs is not connected any more: \
                           ask the user to connect it again";
            Fault::new(codes::REFUSED, message).with_code(reason.code(), Some(call.as_str()))
        }
        Refusal::ToolHeld => {
            let message = "the definition of this tool has changed at its server, so the call was not made: \
                           an administrator has to approve the change first";
            Fault::new(codes::REFUSED, message).with_code(reason.code(), Some(call.as_str()))
        }
        Refusal::CallsPerMinuteMaxReached => {
            let most = asked.knock.caller.terms.calls_per_minute_max.unwrap_or_default();
            limited(format!("this session may make {most} calls a minute"))
        }
        Refusal::VirtualServerBusy => limited("too many calls are on their way here".to_owned()),
        Refusal::VirtualServerRateReached => {
            limited("too many calls were made here in the last minute".to_owned())
        }
        Refusal::ConnectionBusy => {
            limited("too many calls are on their way to the server that this tool belongs to".to_owned())
        }
        Refusal::ConnectionRateReached => limited(
            "too many calls were made to the server that this tool belongs to in the last minute".to_owned(),
        ),
        Refusal::ArgumentsRefused => {
            let message =
                wrong.map_or_else(|| "the arguments are refused".to_owned(), |wrong| wrong.to_string());
            Fault::new(codes::INVALID_PARAMS, message).with_code(reason.code(), Some(call.as_str()))
        }
    }
}

/// The answer to a call that was refused like one that stands in the journal already; it is
/// counted. `None` when none stands there any more.
///
/// # Errors
/// 503 when the states that it rests on cannot be had.
pub(super) async fn again(asked: &Asked<'_>) -> Result<Option<Fault>, Fault> {
    let (proctor, caller) = (&asked.knock.proctor, &asked.knock.caller);
    let session = proctor.directory.state::<Session>(asked.session()).await;
    let session = session.map_err(|error| not_asked(asked, &error))?;
    let gathered = asked.gather().await?;
    let at = now();
    let denied = session.judge(&caller.terms, at, &gathered.request, &gathered.grounds);
    let Err(Denial { reason, retry_at, .. }) = denied else { return Ok(None) };
    let what = (&asked.wants.what, &*gathered.grounds.server);
    let Some(call) = session.refused_before(what, reason, at).cloned() else { return Ok(None) };
    let retry = retry_after_seconds(reason, retry_at, None);
    let connection = gathered.connection_name().cloned();
    let wrong = (gathered.into_wrong(), connection.as_ref());
    let fault = fault(asked, reason, &call, wrong, retry);
    let fault = Box::pin(asking(asked, reason, fault)).await;
    proctor.door.repeats.refused(&proctor.directory, caller.session_id.clone(), call).await;
    Ok(Some(fault))
}

/// The answer when the session could not be asked. Nothing was done then.
pub(super) fn not_asked(asked: &Asked<'_>, error: &AskError<SessionError>) -> Fault {
    let call = Some(asked.call.as_str());
    match error {
        AskError::Nonsense(SessionError::Unknown) => {
            asked.knock.caller.ended(&asked.knock.proctor, Refusal::SessionRevoked)
        }
        AskError::Nonsense(error) => {
            Fault::new(codes::INTERNAL, error.to_string()).with_code("not_asked", call)
        }
        AskError::Append(_) | AskError::Stale(_) | AskError::Unavailable(_) => {
            tracing::error!(error = error as &dyn Error, call = %asked.call, "failed to record a call");
            let message = "the call could not be recorded, so it was not made: try again soon";
            Fault::unavailable(message).with_code("journal_unavailable", call)
        }
    }
}
