//! `PUT /users/{user}/connections/{connection}/credential`: puts a user's credential in force.

use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, CredentialKind};
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand};
use proctor_domain::{Decider as _, StreamId};
use serde_json::to_string;
use zeroize::Zeroizing;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::problem::{Code, Problem};
use super::{of_each_user, reference, shown};
use crate::actors::Prepared;
use crate::credential::Credential;
use crate::journal::SideWrite;
use crate::opening::{USER_CHARS_MAX, user_fits};
use crate::proctor::Proctor;

pub(in crate::api) async fn set(
    proctor: web::Data<Proctor>,
    caller: Caller,
    path: web::Path<(String, String)>,
    Body(credential): Body<Credential>,
) -> Result<HttpResponse, Problem> {
    let (user, name) = path.into_inner();
    if !user_fits(&user) {
        let detail = format!("the user must have 1 to {USER_CHARS_MAX} characters");
        return Err(Problem::new(Code::InvalidCredential, detail));
    }
    let (name, connection) = of_each_user(&proctor, &name).await?;
    if credential.kind() == CredentialKind::Oauth2 {
        let detail =
            "tokens of an authorization server are not set directly: give the user a link to authorize";
        return Err(Problem::new(Code::InvalidCredential, detail));
    }
    let auth = connection.settings().map(|settings| &settings.auth);
    let sendable = auth.map(|auth| credential.carried(auth)).transpose();
    sendable.map_err(|error| Problem::new(Code::InvalidCredential, error.to_string()))?;
    let subject = reference(&proctor, &caller, &user).await?;
    let key = proctor.keyring.subject_key(&subject).await?;
    let plain = to_string(&credential).map_err(|error| Problem::internal("seal a credential", &error))?;
    let plain = Zeroizing::new(plain);
    let id = UserConnection::id(&subject, &name);
    let events = caller
        .act::<UserConnection, _>(&proctor, &id, || async {
            let connection = proctor.directory.fresh::<Connection>(name.as_str()).await?;
            let state = proctor.directory.state::<UserConnection>(&id).await?;
            let generation = state.generation() + 1;
            let sealed = SideWrite::UserCredential {
                subject: subject.to_string(),
                connection: name.to_string(),
                generation,
                sealed: key.seal_credential(subject.as_str(), name.as_str(), generation, &plain),
                keeps_previous: false,
            };
            let grounds = vec![(StreamId::of::<Connection>(name.as_str()), connection.version())];
            let command = UserConnectionCommand::Activate {
                by: caller.by(),
                subject: subject.clone(),
                connection: name.clone(),
                kind: credential.kind(),
                variables: credential.variables(),
                grounds: connection,
                generation,
            };
            Ok(Prepared { command, grounds, sealed: None, side_writes: vec![sealed] })
        })
        .await?;
    let state = proctor.directory.state::<UserConnection>(&id).await?;
    Ok(answer::ok(proctor.directory.position_of(&events), &shown(&user, &name, &connection, &state)))
}
