//! Somebody who brought their own login, at the door.
//!
//! **Invariants.** A token of somebody else than this Proctor is looked at only where the virtual
//! server takes logins.

use std::sync::Arc;

use actix_web::http::StatusCode;
use proctor_domain::identity_provider::{self, IdentityProvider};
use proctor_domain::session::Session;
use proctor_domain::virtual_server::{Login, VirtualServer};
use proctor_domain::{Name, SessionId};
use serde_json::json;

use super::answer::{Fault, codes};
use crate::actors::now;
use crate::login::{self, LoginError, NotOpened};
use crate::proctor::Proctor;

/// How a login was turned down.
pub(super) enum Turned {
    /// The token is not good here, for the reason of this stable code: 401.
    Away(&'static str, String),
    /// The token is good, and a new one would not help: 403.
    Forbidden(&'static str, Fault),
    /// It cannot be found out now: 503.
    Later(Fault),
}

impl From<LoginError> for Turned {
    fn from(error: LoginError) -> Self {
        match &error {
            LoginError::Unavailable { .. } => Self::Later(Fault::unavailable(error.to_string())),
            _ => Self::Away(error.code(), error.to_string()),
        }
    }
}

impl From<NotOpened> for Turned {
    fn from(error: NotOpened) -> Self {
        match error {
            NotOpened::Login(error) => error.into(),
            NotOpened::Unavailable(message) => Self::Later(Fault::unavailable(message)),
            NotOpened::Refused { code, message, missing } => {
                let missing: Vec<_> = missing
                    .iter()
                    .map(|(name, status)| json!({ "connection": name, "status": status }))
                    .collect();
                let mut data = json!({ "code": code });
                if !missing.is_empty() {
                    data["missing"] = missing.into();
                }
                let fault = Fault::new(codes::REFUSED, message)
                    .with_status(StatusCode::FORBIDDEN)
                    .with_data(data.to_string());
                Self::Forbidden(code, fault)
            }
        }
    }
}

/// Which logins a virtual server takes; nothing where it takes none.
pub(super) async fn taken(proctor: &Proctor, server: &Name) -> Result<Option<Login>, Fault> {
    let state = proctor.directory.state::<VirtualServer>(server.as_str()).await;
    let state = state.map_err(|error| Fault::unavailable(error.to_string()))?;
    Ok(state.definition().login.clone())
}

/// How the provider is set whose logins a virtual server takes; nothing where it takes none.
pub(super) async fn provider_of(
    proctor: &Proctor,
    server: &Name,
) -> Result<Option<Arc<identity_provider::Settings>>, Fault> {
    let Some(login) = taken(proctor, server).await? else { return Ok(None) };
    let state = proctor.directory.state::<IdentityProvider>(login.provider.as_str()).await;
    let state = state.map_err(|error| Fault::unavailable(error.to_string()))?;
    Ok(state.settings().filter(|_| state.is_usable()).cloned())
}

/// The session of a token that an identity provider issued.
pub(super) async fn session(
    proctor: &Proctor,
    server: &Name,
    login: &Login,
    token: &str,
) -> Result<(SessionId, Arc<Session>), Turned> {
    let provider = proctor.directory.state::<IdentityProvider>(login.provider.as_str()).await;
    let provider = provider.map_err(|error| Turned::Later(Fault::unavailable(error.to_string())))?;
    let audience = proctor.mcp_server_url(server.as_str());
    let verified = proctor.logins.verify(&login.provider, &provider, token, &audience, now().0).await?;
    let (id, session) = login::open(proctor, server, login, &verified).await?;
    Ok((id.as_str().into(), session))
}

#[cfg(test)]
mod tests {
    use proctor_domain::user_connection::Status;

    use super::*;

    #[test]
    fn whoever_may_not_have_a_session_gets_403_which_no_new_token_changes() {
        let missing = vec![(Name::new("mail").unwrap(), Status::Expired)];
        let refused = NotOpened::Refused { code: "accounts_missing", message: "connect".to_owned(), missing };
        let Turned::Forbidden(code, fault) = Turned::from(refused) else { panic!("not forbidden") };
        assert_eq!((code, fault.status), ("accounts_missing", StatusCode::FORBIDDEN));
        let data = r#"{"code":"accounts_missing","missing":[{"connection":"mail","status":"expired"}]}"#;
        assert_eq!(fault.data.as_deref(), Some(data));
        assert_eq!(fault.challenge, None);
    }

    #[test]
    fn what_cannot_be_found_out_is_a_503_and_never_the_tokens_fault() {
        let provider = Name::new("corp").unwrap();
        let away = LoginError::Unavailable { provider, reason: "it is away".to_owned() };
        for error in [NotOpened::Login(away), NotOpened::Unavailable("busy".to_owned())] {
            let Turned::Later(fault) = Turned::from(error) else { panic!("not later") };
            assert_eq!(fault.status, StatusCode::SERVICE_UNAVAILABLE);
        }
        assert!(matches!(Turned::from(LoginError::Expired), Turned::Away("login_expired", _)));
    }
}
