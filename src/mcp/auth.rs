//! Who knocks: the host and page that a request names, its session token, its session.
//!
//! **Invariants.** A token is taken from the `Authorization` header alone, and never repeated. What
//! cannot be found out is a 503, never a 401: a client throws a good token away after a 401.

use std::net::IpAddr;
use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::http::header::{AUTHORIZATION, HOST, ORIGIN};
use actix_web::{HttpRequest, HttpResponse, web};
use proctor_domain::session::{CallGrounds, Refusal, Session, Terms};
use proctor_domain::subject::Subject;
use proctor_domain::virtual_server::VirtualServer;
use proctor_domain::watch::Door;
use proctor_domain::{Name, SessionId};

use super::answer::{Fault, codes, push_text};
use super::login::{self, Turned};
use crate::actors::now;
use crate::proctor::Proctor;
use crate::vault::TokenError;

/// Where the protected-resource metadata of a virtual server stands (RFC 9728).
pub(super) const METADATA_PATH: &str = "/.well-known/oauth-protected-resource/mcp/";

/// A session whose token was presented and found good.
#[derive(Clone)]
pub(super) struct Caller {
    pub session_id: SessionId,
    pub session: Arc<Session>,
    pub terms: Arc<Terms>,
    pub address: Option<IpAddr>,
}

/// The name in the path, if it can be one.
pub(super) fn server_named(request: &HttpRequest) -> Option<Name> {
    Name::new(request.match_info().get("virtual_server")?).ok()
}

/// Refuses requests to another host, or from a page of another one (DNS rebinding; MCP,
/// transports, security).
pub(super) fn check_addressing(request: &HttpRequest, proctor: &Proctor) -> Result<(), Fault> {
    let allowed = &proctor.config.allowed;
    let named = |header| {
        let mut values = request.headers().get_all(header);
        let value = values.next().map(|value| value.to_str().unwrap_or_default());
        (value, values.next().is_some())
    };
    let (host, twice) = named(HOST);
    if twice || !host.is_some_and(|host| allowed.host(host)) {
        proctor.failures.count(Door::Mcp, "host_not_allowed");
        return Err(forbidden(
            "this Host is not allowed: add it to PROCTOR_ALLOWED_HOSTS",
            "host_not_allowed",
        ));
    }
    let (origin, twice) = named(ORIGIN);
    if twice || !origin.is_none_or(|origin| allowed.origin(origin)) {
        proctor.failures.count(Door::Mcp, "origin_not_allowed");
        let message = "this Origin is not allowed: add it to PROCTOR_ALLOWED_ORIGINS";
        return Err(forbidden(message, "origin_not_allowed"));
    }
    Ok(())
}

fn forbidden(message: &'static str, code: &str) -> Fault {
    Fault::new(codes::REFUSED, message).with_status(StatusCode::FORBIDDEN).with_code(code, None)
}

/// Finds the session that the request's token opens at this virtual server.
///
/// # Errors
/// 401 when there is no token that is good here; 503 when the session cannot be read.
pub(super) async fn caller(request: &HttpRequest, server: &Name, proctor: &Proctor) -> Result<Caller, Fault> {
    let refuse = |reason: &'static str, given: bool, message: String| {
        proctor.failures.count(Door::Mcp, reason);
        unauthorized(proctor, server, reason, given, message)
    };
    let missing = || {
        let message = "pass the session token in the Authorization header, after \"Bearer \"";
        refuse("token_missing", false, message.to_owned())
    };
    let mut authorizations = request.headers().get_all(AUTHORIZATION);
    let token = authorizations.next().and_then(|value| bearer(value.to_str().ok()?)).ok_or_else(missing)?;
    if authorizations.next().is_some() {
        return Err(refuse("token_malformed", true, "there are two Authorization headers".to_owned()));
    }
    let audience = proctor.mcp_server_url(server.as_str());
    let (session_id, session) = match proctor.vault.tokens().verify(token, &audience, now().0) {
        Ok(verified) => {
            let id = &verified.claims.session;
            let session = proctor.directory.state::<Session>(id).await;
            (id.as_str().into(), session.map_err(|error| Fault::unavailable(error.to_string()))?)
        }
        Err(TokenError::UnknownKey) if proctor.purpose_keys.may_lack_some(&proctor.journal) => {
            let message = "this replica may not know the key yet that signed the token: try again";
            return Err(Fault::unavailable(message));
        }
        Err(error) => match login::taken(proctor, server).await? {
            Some(taken) if is_of_another(&error) => {
                // Apart, as everything that not everybody needs.
                let session = Box::pin(login::session(proctor, server, &taken, token)).await;
                session.map_err(|turned| match turned {
                    Turned::Away(reason, message) => refuse(reason, true, message),
                    Turned::Forbidden(reason, fault) => {
                        proctor.failures.count(Door::Mcp, reason);
                        fault
                    }
                    Turned::Later(fault) => fault,
                })?
            }
            Some(_) | None => return Err(refuse(reason_of(&error), true, error.to_string())),
        },
    };
    let Some(terms) = session.terms().filter(|terms| terms.virtual_server == *server).cloned() else {
        let message = "the session of this token is not known here: mint a new session";
        return Err(refuse("session_unknown", true, message.to_owned()));
    };
    Ok(Caller { session_id, session, terms, address: request.peer_addr().map(|address| address.ip()) })
}

fn bearer(header: &str) -> Option<&str> {
    let (scheme, token) = header.split_once(' ')?;
    let token = token.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !token.is_empty()).then_some(token)
}

/// Whether a token that was refused can be one of an identity provider.
fn is_of_another(error: &TokenError) -> bool {
    match error {
        TokenError::Malformed | TokenError::WrongAlgorithm { .. } | TokenError::UnknownKey => true,
        TokenError::BadSignature | TokenError::WrongAudience | TokenError::Expired => false,
    }
}

fn reason_of(error: &TokenError) -> &'static str {
    match error {
        TokenError::Malformed => "token_malformed",
        TokenError::WrongAlgorithm { .. } => "token_wrong_algorithm",
        TokenError::UnknownKey => "token_unknown_key",
        TokenError::BadSignature => "token_bad_signature",
        TokenError::WrongAudience => "token_wrong_audience",
        TokenError::Expired => "session_expired",
    }
}

/// 401 as RFC 6750 and RFC 9728 have it. `given` says that there was a token.
fn unauthorized(proctor: &Proctor, server: &Name, code: &str, given: bool, message: String) -> Fault {
    let metadata = proctor.public_url.at(METADATA_PATH);
    let error = if given { ", error=\"invalid_token\"" } else { "" };
    let mut fault =
        Fault::new(codes::REFUSED, message).with_status(StatusCode::UNAUTHORIZED).with_code(code, None);
    fault.challenge = Some(format!("Bearer resource_metadata=\"{metadata}{server}\"{error}"));
    fault
}

impl Caller {
    /// The virtual server that the session is for.
    pub fn server(&self) -> &Name {
        &self.terms.virtual_server
    }

    /// Refuses a session that has ended: revoked, expired or cut.
    ///
    /// # Errors
    /// 401 when it has; 503 when that cannot be found out.
    pub async fn check_alive(&self, proctor: &Proctor) -> Result<Arc<VirtualServer>, Fault> {
        let unavailable = |message: String| Fault::unavailable(message);
        let subject = proctor.directory.state::<Subject>(self.terms.subject.as_str()).await;
        let subject = subject.map_err(|error| unavailable(error.to_string()))?;
        let server = proctor.directory.state::<VirtualServer>(self.server().as_str()).await;
        let server = server.map_err(|error| unavailable(error.to_string()))?;
        let grounds =
            CallGrounds { subject, server: Arc::clone(&server), connection: None, user_connection: None };
        match self.session.ended(&self.terms, now(), &grounds) {
            Some(reason) => {
                proctor.failures.count(Door::Mcp, reason.code());
                Err(self.ended(proctor, reason))
            }
            None => Ok(server),
        }
    }

    /// The 401 of a session that has ended.
    pub fn ended(&self, proctor: &Proctor, reason: Refusal) -> Fault {
        let message = format!(
            "the session has ended ({}): mint a new session, or get a new access token",
            reason.code()
        );
        unauthorized(proctor, self.server(), reason.code(), true, message)
    }
}

/// `GET /.well-known/oauth-protected-resource/mcp/{virtual_server}`: RFC 9728. Where logins are taken,
/// it says of which issuer. Of all other names it says the same, so nobody learns from it which
/// virtual servers there are beside those.
pub(super) async fn metadata(request: HttpRequest, proctor: web::Data<Proctor>) -> HttpResponse {
    if let Err(fault) = check_addressing(&request, &proctor) {
        return fault.reply("null").into_response();
    }
    let Some(server) = server_named(&request) else {
        return HttpResponse::NotFound().finish();
    };
    let provider = match login::provider_of(&proctor, &server).await {
        Ok(provider) => provider,
        Err(fault) => return fault.reply("null").into_response(),
    };
    let mut json = String::from("{\"resource\":");
    push_text(&mut json, &proctor.mcp_server_url(server.as_str()));
    if let Some(provider) = provider {
        json.push_str(",\"authorization_servers\":[");
        push_text(&mut json, &provider.issuer);
        json.push(']');
        for (index, scope) in provider.scopes.iter().enumerate() {
            json.push_str(if index == 0 { ",\"scopes_supported\":[" } else { "," });
            push_text(&mut json, scope);
        }
        if !provider.scopes.is_empty() {
            json.push(']');
        }
    }
    json.push_str(",\"bearer_methods_supported\":[\"header\"]}");
    HttpResponse::Ok().content_type("application/json").body(json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_taken_after_the_scheme_in_any_case() {
        assert_eq!(bearer("Bearer abc"), Some("abc"));
        assert_eq!(bearer("bEARER  abc "), Some("abc"));
        for header in ["abc", "Bearer", "Bearer ", "Basic abc", ""] {
            assert_eq!(bearer(header), None, "{header}");
        }
    }
}
