//! `GET /connect/{link}`: the page that says who asks for what. Looking uses nothing up.

use actix_web::http::StatusCode;
use actix_web::{HttpResponse, web};
use proctor_domain::connection::{Connection, Takes};
use proctor_domain::user_connection::{Link, UserConnection, UserConnectionError};
use url::Url;

use super::pages::{self, Question};
use super::ticket::Ticket;
use crate::actors::{AskError, now};
use crate::proctor::Proctor;

pub(super) async fn show(proctor: web::Data<Proctor>, link: web::Path<String>) -> HttpResponse {
    match opened(&proctor, &link).await {
        Ok(opened) => opened.question(&proctor, StatusCode::OK, None),
        Err(answer) => answer,
    }
}

/// A link that can be used, and what it is for.
pub(super) struct Opened {
    pub ticket: Ticket,
    pub connection: std::sync::Arc<Connection>,
    pub link: Link,
}

/// The link of this text, as it stands now.
///
/// # Errors
/// With the page that says why it cannot be used.
pub(super) async fn opened(proctor: &Proctor, text: &str) -> Result<Opened, HttpResponse> {
    let ticket =
        Ticket::of_link(&proctor.vault, text).ok_or_else(|| refused(&UserConnectionError::LinkUnknown))?;
    let id = UserConnection::id(&ticket.subject, &ticket.connection);
    let account = proctor.directory.fresh::<UserConnection>(&id).await;
    let account = account.map_err(|error| unavailable(&error))?;
    let link = account.link().filter(|link| link.id() == ticket.link);
    let link = link.ok_or_else(|| refused(&UserConnectionError::LinkUnknown))?.clone();
    link.check_open(now()).map_err(|error| refused(&error))?;
    let connection = proctor.directory.fresh::<Connection>(ticket.connection.as_str()).await;
    let connection = connection.map_err(|error| unavailable(&error))?;
    // It was set anew meanwhile: what the link asks for is not what would be used.
    if !connection.is_usable() || connection.credential_kind() != Some(link.kind()) {
        return Err(refused(&UserConnectionError::LinkUnknown));
    }
    Ok(Opened { ticket, connection, link })
}

impl Opened {
    pub(super) fn question(
        &self,
        proctor: &Proctor,
        status: StatusCode,
        wrong: Option<&str>,
    ) -> HttpResponse {
        let oauth2 = self.connection.settings().and_then(|settings| settings.auth.oauth2());
        let scopes = oauth2.iter().flat_map(|oauth2| {
            let described = |scope: &str| oauth2.scope_descriptions.get(scope).map(String::as_str);
            oauth2.scopes.iter().map(move |scope| (scope.as_str(), described(scope)))
        });
        let provider = oauth2
            .and_then(|oauth2| Some(Url::parse(&oauth2.authorization_endpoint).ok()?.host_str()?.to_owned()));
        let question = Question {
            app: &proctor.config.app_name,
            connection: self.ticket.connection.as_str(),
            takes: self.takes(),
            scopes: scopes.collect(),
            provider,
            wrong,
        };
        pages::question(status, &question)
    }

    /// What the person is asked for, as the connection wants it now.
    pub(super) fn takes(&self) -> Takes<'_> {
        self.connection.takes().unwrap_or_else(|| self.link.kind().into())
    }
}

/// The page for a link or an answer that cannot be used.
pub(super) fn refused(error: &UserConnectionError) -> HttpResponse {
    use UserConnectionError as Error;
    let (status, title) = match error {
        Error::LinkUsed => (StatusCode::CONFLICT, "This link was used already"),
        Error::LinkExpired | Error::CodeExpired => (StatusCode::GONE, "This link has expired"),
        Error::OtherBrowser => (StatusCode::FORBIDDEN, "Another browser has started this"),
        Error::Unknown
        | Error::NoConnection(_)
        | Error::Shared(_)
        | Error::OtherKind { .. }
        | Error::OtherVariables(_)
        | Error::Overtaken
        | Error::LinkSeconds
        | Error::LinkUnknown
        | Error::CodeUnknown => (StatusCode::NOT_FOUND, "This link is not valid"),
    };
    let text = match error {
        Error::LinkUsed => {
            "If you have come back to the application that sent you here, you are done. If not, go back to it and \
             start there once more."
        }
        _ => {
            "Go back to the application that sent you here, and start there once more. Nothing was connected."
        }
    };
    pages::message(status, title, text)
}

/// The page for what cannot be done now.
pub(super) fn unavailable<E: std::error::Error + 'static>(error: &AskError<E>) -> HttpResponse {
    tracing::error!(error = error as &dyn std::error::Error, "failed to serve a page to connect an account");
    later()
}

pub(super) fn later() -> HttpResponse {
    let text = "This cannot be done at the moment. Wait a little, and load this page again.";
    pages::message(StatusCode::SERVICE_UNAVAILABLE, "Try again soon", text)
}
