//! `POST /connect/{link}`: sends the person on to the authorization server, or takes in what was typed.
//!
//! **Invariants.** Only our own page sends here, as far as a browser says where it was: a form on another
//! site could put its maker's key in the place of the person's, or start what nobody asked for.

use std::collections::BTreeMap;
use std::future::ready;

use actix_web::http::StatusCode;
use actix_web::http::header::{COOKIE, HeaderName, LOCATION, ORIGIN, SET_COOKIE};
use actix_web::{HttpRequest, HttpResponse, HttpResponseBuilder, web};
use proctor_domain::Event;
use proctor_domain::connection::{AuthMethod, CredentialKind};
use proctor_domain::oauth2::Oauth2;
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand, UserConnectionEvent};
use url::Url;
use zeroize::Zeroizing;

use super::authorize::{self, NotKept};
use super::pages::{self, field_of, guarded};
use super::redirect_uri;
use super::show::{Opened, later, opened, refused, unavailable};
use super::ticket::{Pkce, Ticket, digest, random};
use crate::actors::{AskError, Prepared, now};
use crate::credential::Credential;
use crate::proctor::Proctor;

/// Names a browser that has once started here.
const BROWSER: &str = "proctor_connect";
/// The same where a browser refuses to take it from another host, or over an open line (RFC 6265bis).
const BROWSER_OF_HTTPS: &str = "__Host-proctor_connect";

static SEC_FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");

/// What was typed, by the fields' names.
pub(super) type Typed = BTreeMap<String, Zeroizing<String>>;

pub(super) async fn start(
    proctor: web::Data<Proctor>,
    request: HttpRequest,
    link: web::Path<String>,
    typed: Option<web::Form<Typed>>,
) -> HttpResponse {
    if !is_our_own(&request, &proctor) {
        let text = "This was sent by another website, so nothing was done. Go back to the application that sent you \
                    here, and start there once more.";
        return pages::message(StatusCode::FORBIDDEN, "This did not come from this page", text);
    }
    let opened = match opened(&proctor, &link).await {
        Ok(opened) => opened,
        Err(answer) => return answer,
    };
    let Some(settings) = opened.connection.settings() else { return later() };
    match &settings.auth {
        AuthMethod::Oauth2(oauth2) => send_on(&proctor, &request, &opened.ticket, oauth2).await,
        auth => {
            let typed = typed.map(web::Form::into_inner).unwrap_or_default();
            take_in(&proctor, &opened, auth, typed).await
        }
    }
}

/// Whether our own page has sent this, or a browser that does not say where it was.
fn is_our_own(request: &HttpRequest, proctor: &Proctor) -> bool {
    let only = |name: &HeaderName| {
        let mut values = request.headers().get_all(name).map(|value| value.to_str().unwrap_or_default());
        (values.next(), values.next().is_none())
    };
    let ((site, one_site), (origin, one_origin)) = (only(&SEC_FETCH_SITE), only(&ORIGIN));
    if !one_site || !one_origin {
        return false;
    }
    match site {
        // No page can make a browser say so (Fetch Metadata); "none" is the person, such as by loading anew.
        Some(site) => matches!(site, "same-origin" | "none"),
        None => {
            let ours = Url::parse(proctor.public_url.as_str()).map(|url| url.origin().ascii_serialization());
            origin.is_none_or(|origin| ours.is_ok_and(|ours| ours == origin))
        }
    }
}

async fn send_on(proctor: &Proctor, request: &HttpRequest, ticket: &Ticket, oauth2: &Oauth2) -> HttpResponse {
    let browser = browser(proctor, request).unwrap_or_else(random);
    let id = UserConnection::id(&ticket.subject, &ticket.connection);
    let answer = proctor
        .directory
        .ask::<UserConnection, _>(&id, || {
            let (link, browser) = (ticket.link.clone(), digest(&browser));
            let command = UserConnectionCommand::StartAuthorization { at: now(), link, browser };
            ready(Ok(Prepared::alone(command)))
        })
        .await;
    let events = match answer {
        Ok(events) => events,
        Err(AskError::Nonsense(error)) => return refused(&error),
        Err(error) => return unavailable(&error),
    };
    let attempt = events.iter().find_map(|event| match &event.event {
        Event::UserConnection(UserConnectionEvent::UserConnectionAuthorizationStarted {
            attempt, ..
        }) => Some(*attempt),
        _ => None,
    });
    let Some(attempt) = attempt else { return later() };
    let Ok(mut url) = Url::parse(&oauth2.authorization_endpoint) else { return later() };
    let key = proctor.vault.pkce_key();
    let Some(Pkce { challenge, .. }) = Pkce::of(&proctor.vault, &key, &ticket.link, attempt) else {
        return later();
    };
    {
        let mut query = url.query_pairs_mut();
        query
            .append_pair("response_type", "code")
            .append_pair("client_id", &oauth2.client_id)
            .append_pair("redirect_uri", &redirect_uri(proctor, &ticket.connection))
            .append_pair("state", &ticket.to_state(&proctor.vault, attempt, key))
            .append_pair("code_challenge", &challenge)
            .append_pair("code_challenge_method", "S256");
        if !oauth2.scopes.is_empty() {
            query.append_pair("scope", &oauth2.scopes.join(" "));
        }
        if let Some(resource) = &oauth2.resource {
            query.append_pair("resource", resource);
        }
        // Where a scope asks for a lasting authorization, OpenID Connect demands that the user is asked.
        if oauth2.scopes.iter().any(|scope| scope == "offline_access") {
            query.append_pair("prompt", "consent");
        }
    }
    // The authorization server leads back by a link, with which a lax one is sent.
    let secure = if is_https(proctor) { "; Secure" } else { "" };
    let cookie = format!("{}={browser}; Path=/; HttpOnly; SameSite=Lax{secure}", cookie_name(proctor));
    let mut response = HttpResponseBuilder::new(StatusCode::SEE_OTHER);
    guarded(&mut response)
        .insert_header((LOCATION, url.as_str()))
        .insert_header((SET_COOKIE, cookie))
        .finish()
}

async fn take_in(proctor: &Proctor, opened: &Opened, auth: &AuthMethod, mut typed: Typed) -> HttpResponse {
    let trimmed = |text: Option<Zeroizing<String>>| {
        text.map(|text| Zeroizing::new(text.trim().to_owned())).filter(|text| !text.is_empty())
    };
    let takes = opened.takes();
    let credential = match takes.kind {
        CredentialKind::ApiKey => trimmed(typed.remove("key")).map(|key| Credential::ApiKey { key }),
        CredentialKind::Bearer => trimmed(typed.remove("token")).map(|token| Credential::Bearer { token }),
        CredentialKind::Basic => trimmed(typed.remove("username"))
            .zip(typed.remove("password"))
            .map(|(username, password)| Credential::Basic { username, password }),
        CredentialKind::Environment => takes
            .variables
            .iter()
            .map(|wanted| Some((wanted.name.clone(), trimmed(typed.remove(&field_of(&wanted.name)))?)))
            .collect::<Option<_>>()
            .map(|variables| Credential::Environment { variables }),
        CredentialKind::Oauth2 => None,
    };
    let asked_again = |wrong: &str| opened.question(proctor, StatusCode::UNPROCESSABLE_ENTITY, Some(wrong));
    let Some(credential) = credential else { return asked_again("Fill in the form, please.") };
    if let Err(error) = credential.carried(auth) {
        return asked_again(&error.to_string());
    }
    match authorize::keep(proctor, &opened.ticket, &credential, Vec::new(), None).await {
        Ok(back) => back,
        Err(NotKept::Refused(error)) => refused(&error),
        Err(NotKept::Unavailable(error)) => unavailable(&error),
        Err(NotKept::Key) => later(),
    }
}

/// What the browser keeps, if it has once started here.
pub(super) fn browser(proctor: &Proctor, request: &HttpRequest) -> Option<String> {
    let name = cookie_name(proctor);
    let cookies = request.headers().get_all(COOKIE).filter_map(|cookies| cookies.to_str().ok());
    let mut pairs =
        cookies.flat_map(|cookies| cookies.split(';')).filter_map(|pair| pair.trim().split_once('='));
    let (_, kept) = pairs.find(|(named, _)| *named == name)?;
    (kept.len() == random().len()).then(|| kept.to_owned())
}

fn is_https(proctor: &Proctor) -> bool {
    proctor.public_url.as_str().starts_with("https:")
}

fn cookie_name(proctor: &Proctor) -> &'static str {
    if is_https(proctor) { BROWSER_OF_HTTPS } else { BROWSER }
}
