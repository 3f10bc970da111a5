//! The user's tokens on the way of a call: renewed before they are needed, and when the upstream
//! refuses them.
//!
//! **Invariants.** A call that an upstream refused with 401 was not carried out there. It is on the
//! record as failed, and what goes out after the renewal is another call with its own admission.

use std::future::ready;
use std::sync::Arc;

use proctor_domain::connection::CredentialKind;
use proctor_domain::session::{Route, SessionEvent};
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand};
use proctor_domain::{Event, Name};

use super::ask::{Asked, Gathered};
use crate::actors::Prepared;
use crate::connect::{self, Due, Renewed};
use crate::journal::{Delivered, SideWrite};
use crate::mcp::Knock;
use crate::mcp::answer::Fault;

/// A user's credential that an upstream did not accept.
pub(super) struct Refused {
    connection: Name,
    generation: u32,
}

impl Refused {
    /// The credential that an admitted call was sent with, where it is the user's own.
    pub fn of(admitted: &Delivered) -> Option<Self> {
        match &admitted.event {
            Event::Session(SessionEvent::ToolCallAdmitted {
                route: Route { connection, user_generation: Some(generation), .. },
                ..
            }) => Some(Self { connection: connection.clone(), generation: *generation }),
            _ => None,
        }
    }

    /// Renews it. Whether there is another now, with which the call can be made.
    pub async fn renewed(&self, knock: &Knock) -> bool {
        let (proctor, subject) = (&knock.proctor, &knock.caller.terms.subject);
        let account = proctor.directory.state::<UserConnection>(&self.account(knock)).await;
        let Ok(account) = account else { return false };
        if account.generation() != self.generation {
            return true;
        }
        if account.kind() != Some(CredentialKind::Oauth2) {
            self.expire(knock).await;
            return false;
        }
        let renewed = connect::renew(proctor, subject, &self.connection, self.generation, true).await;
        renewed == Renewed::Done
    }

    /// Writes down that it is not accepted any more.
    pub async fn expire(&self, knock: &Knock) {
        let (proctor, subject) = (&knock.proctor, &knock.caller.terms.subject);
        let expired = proctor
            .directory
            .ask::<UserConnection, _>(&self.account(knock), || {
                let reason = "upstream_unauthorized".to_owned();
                let command = UserConnectionCommand::Expire { generation: self.generation, reason };
                let forgotten = SideWrite::ForgottenCredential {
                    subject: subject.to_string(),
                    connection: self.connection.to_string(),
                };
                ready(Ok(Prepared { side_writes: vec![forgotten], ..Prepared::alone(command) }))
            })
            .await;
        if let Err(error) = expired {
            tracing::warn!(connection = %self.connection, %error, "failed to write down that a credential is not accepted");
        }
    }

    fn account(&self, knock: &Knock) -> String {
        UserConnection::id(&knock.caller.terms.subject, &self.connection)
    }
}

/// What a call rests on once its user's tokens serve.
///
/// # Errors
/// 503 when they cannot be renewed now, or the states that the call rests on cannot be had.
pub(super) async fn freshened<'a>(
    asked: &Asked<'a>,
    gathered: Gathered<'a>,
    due: Due,
) -> Result<Gathered<'a>, Fault> {
    let (proctor, subject) = (&asked.knock.proctor, &asked.knock.caller.terms.subject);
    let Some((name, account)) = gathered.account() else { return Ok(gathered) };
    match due {
        Due::Later => return Ok(gathered),
        Due::Soon => {
            connect::renew_soon(proctor, subject, name, account);
            return Ok(gathered);
        }
        Due::Now => {}
    }
    let (name, account) = (name.clone(), Arc::clone(account));
    match connect::renew(proctor, subject, &name, account.generation(), false).await {
        Renewed::Done | Renewed::Over => asked.gather().await,
        Renewed::NotNow => {
            let message = "the authorization of the user's account has ended and cannot be renewed at the moment, so \
                           the call was not made: try again soon";
            Err(Fault::unavailable(message)
                .with_code("user_connection_not_renewed", Some(asked.call.as_str())))
        }
    }
}
