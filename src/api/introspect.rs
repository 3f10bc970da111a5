//! `POST /introspect`: what a session token is worth at this moment, in the form of RFC 7662.
//!
//! **Invariants.** A token is active exactly as long as the agents' door would let it in. Of one that
//! is not, nothing is said, whatever the reason (section 2.2).

use std::sync::Arc;

use actix_web::http::header;
use actix_web::{FromRequest, HttpRequest, HttpResponse, dev, web};
use futures_util::FutureExt as _;
use futures_util::future::LocalBoxFuture;
use proctor_domain::Name;
use proctor_domain::session::{CallGrounds, Session, Terms};
use proctor_domain::subject::Subject;
use proctor_domain::virtual_server::VirtualServer;
use serde::Deserialize;
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::answer;
use super::caller::Caller;
use super::problem::{Code, Problem};
use crate::actors::{KeyringError, now};
use crate::proctor::Proctor;
use crate::vault::{Claims, TokenError};

/// The form of section 2.1.
#[derive(Deserialize)]
pub(super) struct Asked {
    token: Option<Zeroizing<String>>,
}

/// A body that is such a form.
pub(super) struct Form(Asked);

impl FromRequest for Form {
    type Error = Problem;
    type Future = LocalBoxFuture<'static, Result<Self, Problem>>;

    fn from_request(request: &HttpRequest, payload: &mut dev::Payload) -> Self::Future {
        let kind = request.headers().get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok());
        let essence = kind.unwrap_or_default().split(';').next().unwrap_or_default().trim();
        if !essence.eq_ignore_ascii_case("application/x-www-form-urlencoded") {
            let detail = "the body is not declared as a form: send token=… with Content-Type: \
                          application/x-www-form-urlencoded";
            return std::future::ready(Err(Problem::new(Code::WrongContentType, detail))).boxed_local();
        }
        let form = web::Form::<Asked>::from_request(request, payload);
        form.map(|form| match form {
            Ok(form) => Ok(Self(form.into_inner())),
            Err(error) => Err(Problem::new(Code::InvalidBody, format!("failed to read the form: {error}"))),
        })
        .boxed_local()
    }
}

pub(super) async fn introspect(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Form(asked): Form,
) -> Result<HttpResponse, Problem> {
    let Some(token) = asked.token.filter(|token| !token.is_empty()) else {
        return Err(Problem::new(Code::InvalidBody, "the form has no token: send token=…"));
    };
    // Whatever was acknowledged before the question is in the answer.
    let position = proctor.journal.confirm().await?;
    caller.confirm(&proctor).await?;
    let shown = match proctor.vault.tokens().inspect(&token, now().0) {
        Ok(verified) => active(&proctor, &verified.claims).await?,
        Err(TokenError::UnknownKey) if proctor.purpose_keys.may_lack_some(&proctor.journal) => {
            let detail = "this replica may not know the key yet that signed the token: try again";
            return Err(Problem::new(Code::Busy, detail));
        }
        Err(_) => None,
    };
    Ok(answer::ok(position, &shown.unwrap_or_else(|| json!({ "active": false }))))
}

/// What is said of a token whose session lives.
async fn active(proctor: &Proctor, claims: &Claims) -> Result<Option<Value>, Problem> {
    let session = proctor.directory.state::<Session>(&claims.session).await?;
    let Some(terms) = session.terms() else { return Ok(None) };
    if claims.audience != proctor.mcp_server_url(terms.virtual_server.as_str())
        || has_ended(proctor, &session, terms).await?
    {
        return Ok(None);
    }
    let username = match proctor.keyring.user_of(&terms.subject).await {
        Ok(user) => Some(Value::from(user.as_str())),
        Err(KeyringError::Gone(_)) => None,
        Err(error) => return Err(error.into()),
    };
    let virtual_server: &Name = &terms.virtual_server;
    let mut shown = json!({
        "active": true,
        "token_type": "Bearer",
        "iss": claims.issuer,
        "aud": claims.audience,
        "sub": claims.subject,
        "jti": claims.session,
        "iat": claims.issued_at_s,
        "exp": claims.expires_at_s,
        "virtual_server": virtual_server,
    });
    if let Some(username) = username {
        shown["username"] = username;
    }
    Ok(Some(shown))
}

async fn has_ended(proctor: &Proctor, session: &Session, terms: &Terms) -> Result<bool, Problem> {
    let subject = proctor.directory.state::<Subject>(terms.subject.as_str()).await?;
    let server: Arc<VirtualServer> = proctor.directory.state(terms.virtual_server.as_str()).await?;
    let grounds = CallGrounds { subject, server, connection: None, user_connection: None };
    Ok(session.ended(terms, now(), &grounds).is_some())
}
