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
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::answer;
use super::caller::Caller;
use super::openapi::words;
use super::problem::{Code, Problem};
use crate::actors::{KeyringError, now};
use crate::proctor::Proctor;
use crate::vault::{Claims, TokenError};

/// The form of section 2.1.
#[derive(Deserialize, ToSchema)]
#[schema(as = TokenQuestion)]
pub(super) struct Asked {
    /// The session token.
    #[schema(value_type = String)]
    token: Option<Zeroizing<String>>,
}

/// What a token is worth. Of one that is not active, nothing else is said.
#[derive(Default, Serialize, ToSchema)]
#[schema(as = TokenWorth)]
struct Worth {
    active: bool,
    #[serde(flatten)]
    #[schema(inline, value_type = More)]
    more: Option<More>,
}

/// What is said of a token whose session lives.
#[derive(Serialize, ToSchema)]
#[schema(as = TokenDetails)]
struct More {
    #[schema(required = false)]
    token_type: &'static str,
    /// The issuer.
    #[schema(required = false)]
    iss: String,
    /// The URL of the virtual server that it is for.
    #[schema(required = false)]
    aud: String,
    /// The user's reference.
    #[schema(required = false)]
    sub: String,
    /// The session's identifier.
    #[schema(required = false)]
    jti: String,
    /// When it was issued, in seconds since 1970.
    #[schema(required = false)]
    iat: i64,
    /// When it ends, in seconds since 1970.
    #[schema(required = false)]
    exp: i64,
    #[schema(required = false, value_type = words::Name)]
    virtual_server: Name,
    /// The user's own identifier; absent once it was erased.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    username: Option<String>,
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
    let more = match proctor.vault.tokens().inspect(&token, now().0) {
        Ok(verified) => active(&proctor, &verified.claims).await?,
        Err(TokenError::UnknownKey) if proctor.purpose_keys.may_lack_some(&proctor.journal) => {
            let detail = "this replica may not know the key yet that signed the token: try again";
            return Err(Problem::new(Code::Busy, detail));
        }
        Err(_) => None,
    };
    Ok(answer::ok(position, &Worth { active: more.is_some(), more }))
}

pub(super) mod operations {
    use super::super::openapi::{Operation, Tag};
    use super::{Asked, Worth};

    pub(in crate::api) fn introspect() -> Operation {
        Operation::new(
            Tag::Sessions,
            "introspectToken",
            "Say what a session token is worth",
            "What a session token is worth at this moment, in the form of RFC 7662: it is active exactly as long \
             as the agents' door would let it in.",
        )
        .takes_form::<Asked>()
        .answers::<Worth>(200, "What it is worth.")
    }
}

/// What is said of a token whose session lives.
async fn active(proctor: &Proctor, claims: &Claims) -> Result<Option<More>, Problem> {
    let session = proctor.directory.state::<Session>(&claims.session).await?;
    let Some(terms) = session.terms() else { return Ok(None) };
    if claims.audience != proctor.mcp_server_url(terms.virtual_server.as_str())
        || has_ended(proctor, &session, terms).await?
    {
        return Ok(None);
    }
    let username = match proctor.keyring.user_of(&terms.subject).await {
        Ok(user) => Some(user.to_string()),
        Err(KeyringError::Gone(_)) => None,
        Err(error) => return Err(error.into()),
    };
    Ok(Some(More {
        token_type: "Bearer",
        iss: claims.issuer.clone(),
        aud: claims.audience.clone(),
        sub: claims.subject.clone(),
        jti: claims.session.clone(),
        iat: claims.issued_at_s,
        exp: claims.expires_at_s,
        virtual_server: terms.virtual_server.clone(),
        username,
    }))
}

async fn has_ended(proctor: &Proctor, session: &Session, terms: &Terms) -> Result<bool, Problem> {
    let subject = proctor.directory.state::<Subject>(terms.subject.as_str()).await?;
    let server: Arc<VirtualServer> = proctor.directory.state(terms.virtual_server.as_str()).await?;
    let grounds = CallGrounds { subject, server, connection: None, user_connection: None };
    Ok(session.ended(terms, now(), &grounds).is_some())
}
