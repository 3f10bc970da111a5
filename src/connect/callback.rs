//! `GET /connect/callback/{connection}`: an authorization server sends the person back.
//!
//! **Invariants.** A code leaves for the token endpoint once, and only when it answers the newest
//! start of a link that is open, came back to the browser that started it, and is of the
//! authorization server that the link is for.

use std::sync::Arc;

use actix_web::http::StatusCode;
use actix_web::{HttpRequest, HttpResponse, web};
use proctor_domain::Name;
use proctor_domain::connection::Connection;
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand, UserConnectionError};
use serde::Deserialize;
use zeroize::Zeroizing;

use super::authorize::{self, NotKept};
use super::client::{Client, TokenError};
use super::show::{later, refused, unavailable};
use super::start::browser;
use super::ticket::{Pkce, Ticket, digest};
use super::{pages, redirect_uri};
use crate::actors::{AskError, now};
use crate::proctor::Proctor;

/// Longest code that is handed on, in bytes.
const CODE_BYTES_MAX: usize = 4_096;

/// What the authorization server says (RFC 6749, section 4.1.2, and RFC 9207).
#[derive(Deserialize)]
pub(super) struct Answer {
    state: Option<String>,
    code: Option<Zeroizing<String>>,
    error: Option<String>,
    iss: Option<String>,
}

pub(super) async fn callback(
    proctor: web::Data<Proctor>,
    request: HttpRequest,
    connection: web::Path<String>,
) -> HttpResponse {
    let unknown = || refused(&UserConnectionError::LinkUnknown);
    let Ok(answer) = web::Query::<Answer>::from_query(request.query_string()) else { return unknown() };
    let Some(ticket) = answer.state.as_deref().and_then(|state| Ticket::of_state(&proctor.vault, state))
    else {
        return unknown();
    };
    // The address is the connection's own: an answer that arrives at another's is of another server.
    if Name::new(&connection).ok().as_ref() != Some(&ticket.connection) {
        return unknown();
    }
    let Some(browser) = browser(&proctor, &request) else {
        return refused(&UserConnectionError::OtherBrowser);
    };
    let connection = proctor.directory.fresh::<Connection>(ticket.connection.as_str()).await;
    let connection = match connection {
        Ok(connection) => connection,
        Err(error) => return unavailable(&error),
    };
    let client = match Client::of(&proctor, &ticket.connection, &connection).await {
        Ok(Some(client)) if connection.is_usable() => client,
        Ok(_) => return unknown(),
        Err(error) => {
            tracing::error!(%error, "failed to open a client's secret");
            return later();
        }
    };
    if let Some(answer) = of_another_issuer(&client, answer.iss.as_deref()) {
        return answer;
    }
    // From here on, no other answer to this start is taken in.
    let taken = proctor
        .directory
        .tell::<UserConnection>(
            &UserConnection::id(&ticket.subject, &ticket.connection),
            UserConnectionCommand::TakeCode {
                at: now(),
                link: ticket.link.clone(),
                attempt: ticket.attempt,
                browser: digest(&browser),
            },
        )
        .await;
    match taken {
        Ok(_) => {}
        Err(AskError::Nonsense(error)) => return refused(&error),
        Err(error) => return unavailable(&error),
    }
    match (&answer.code, &answer.error) {
        (Some(code), None) if (1..=CODE_BYTES_MAX).contains(&code.len()) => {
            take_code(&proctor, &ticket, &connection, &client, code).await
        }
        (None, Some(error)) if error == "access_denied" => {
            authorize::fail(&proctor, &ticket, "access_denied").await
        }
        _ => authorize::fail(&proctor, &ticket, "provider_error").await,
    }
}

/// RFC 9207, section 2.4: an answer that says whose it is must be of the right one, and one that does
/// not may only come from a server that never says it.
fn of_another_issuer(client: &Client, iss: Option<&str>) -> Option<HttpResponse> {
    let oauth2 = &client.oauth2;
    let wrong = match (iss, &oauth2.issuer) {
        (Some(iss), Some(issuer)) => iss != issuer,
        (None, _) => oauth2.names_issuer,
        // Set by hand, without an issuer to compare with.
        (Some(_), None) => false,
    };
    let text = "The answer is not of the provider that you were sent to. Nothing was connected.";
    wrong.then(|| pages::message(StatusCode::BAD_REQUEST, "Something is wrong with this answer", text))
}

async fn take_code(
    proctor: &Proctor,
    ticket: &Ticket,
    connection: &Arc<Connection>,
    client: &Client,
    code: &str,
) -> HttpResponse {
    let pkce = Pkce::of(&proctor.vault, &ticket.key, &ticket.link, ticket.attempt);
    let Some(pkce) = pkce else { return later() };
    let asked_at = now();
    let redirect = redirect_uri(proctor, &ticket.connection);
    let tokens = match client.exchange(proctor, code, &redirect, &pkce.verifier).await {
        Ok(tokens) => tokens,
        Err(error) => {
            tracing::warn!(connection = %ticket.connection, %error, "a code brought no tokens");
            let reason = match error {
                TokenError::Refused(_) => "code_refused",
                TokenError::Unusable(_) => "provider_unavailable",
            };
            return authorize::fail(proctor, ticket, reason).await;
        }
    };
    // What is not said is as it was asked for (RFC 6749, section 5.1).
    let scopes = tokens.scopes.clone().unwrap_or_else(|| client.oauth2.scopes.clone());
    let expires_at = tokens.expires_at(asked_at);
    let credential = tokens.into_credential(None);
    match authorize::keep(proctor, ticket, &credential, scopes, expires_at).await {
        Ok(back) => back,
        Err(not_kept) => {
            // Nobody will use them: they are given back.
            super::revoke(proctor, &ticket.connection, connection, &credential).await;
            match not_kept {
                NotKept::Refused(error) => refused(&error),
                NotKept::Unavailable(error) => unavailable(&error),
                NotKept::Key => later(),
            }
        }
    }
}
