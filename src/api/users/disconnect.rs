//! `POST /users/{user}/connections/{connection}/disconnect`: takes an account back, and cancels what
//! is on its way with it.

use std::future::ready;

use actix_web::{HttpResponse, web};
use proctor_domain::connection::Connection;
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand};
use proctor_domain::{Name, Position};
use serde::Serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::confirmation::{Confirmation, Wait, confirmed};
use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use super::super::reason::Reason;
use crate::actors::Prepared;
use crate::connect;
use crate::journal::SideWrite;
use crate::proctor::Proctor;

/// An account that was taken back.
#[derive(Serialize, ToSchema)]
#[schema(as = DisconnectedAccount)]
pub(super) struct Disconnected {
    user: String,
    #[schema(value_type = words::Name)]
    connection: Name,
    #[schema(value_type = words::AccountState)]
    state: &'static str,
    #[schema(value_type = u64)]
    position: Position,
    /// Whether its tokens were given back to their authorization server; absent where there were none.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = words::GivenBack, required = false)]
    revoked_at_provider: Option<Option<bool>>,
    #[serde(flatten)]
    #[schema(inline)]
    confirmation: Confirmation,
}

pub(in crate::api) async fn disconnect(
    proctor: web::Data<Proctor>,
    caller: Caller,
    path: web::Path<(String, String)>,
    wait: web::Query<Wait>,
    Body(body): Body<Reason>,
) -> Result<HttpResponse, Problem> {
    let (user, name) = path.into_inner();
    let reason = body.checked()?;
    let unknown = || {
        let detail = "this user has never connected an account to this connection: check both";
        Problem::new(Code::UserConnectionNotFound, detail)
    };
    // Also of a connection that is out of use by now.
    let name = Name::new(&name).map_err(|_| unknown())?;
    let subject = proctor.keyring.subject_of(&user).await?.ok_or_else(unknown)?;
    let id = UserConnection::id(&subject, &name);
    let state = proctor.directory.fresh::<UserConnection>(&id).await?;
    let credential = connect::in_force(&proctor, &subject, &name, &state).await?;
    let events = caller
        .act::<UserConnection, _>(&proctor, &id, || {
            let command = UserConnectionCommand::Disconnect { by: caller.by(), reason: reason.clone() };
            let forgotten =
                SideWrite::ForgottenCredential { subject: subject.to_string(), connection: name.to_string() };
            ready(Ok(Prepared { side_writes: vec![forgotten], ..Prepared::alone(command) }))
        })
        .await?;
    let position = proctor.directory.position_of(&events);
    let mut revoked_at_provider = None;
    proctor.leftovers.look_soon();
    // What is over here ends at the provider as well, whether or not that answers.
    if let Some(credential) = credential.filter(|_| !events.is_empty()) {
        let connection = proctor.directory.state::<Connection>(name.as_str()).await?;
        revoked_at_provider = Some(connect::revoke(&proctor, &name, &connection, &credential).await);
    }
    let confirmation = confirmed(&proctor, &wait, position).await?;
    let (connection, state) = (name, "disconnected");
    let shown = Disconnected { user, connection, state, position, revoked_at_provider, confirmation };
    Ok(answer::ok(position, &shown))
}
