//! Gives out links.

use std::sync::Arc;

use proctor_domain::connection::Connection;
use proctor_domain::user_connection::{UserConnection, UserConnectionCommand};
use proctor_domain::{By, Decider as _, Name, StreamId, SubjectId};
use url::Url;

use super::ticket::Ticket;
use crate::actors::{Prepared, new_id, now};
use crate::proctor::Proctor;

/// Longest return URL, in bytes.
const RETURN_URL_BYTES_MAX: usize = 1_024;

/// A link that can be given out.
pub struct NewLink {
    /// Its identifier.
    pub id: String,
    /// Where it leads.
    pub url: String,
    subject: SubjectId,
    connection: Name,
}

/// A URL that nobody can be sent back to.
#[derive(Debug, thiserror::Error)]
#[error(
    "return_url must be an https URL of your product (http on this machine), without user and fragment, of up to \
     {RETURN_URL_BYTES_MAX} bytes: people are sent there when they are done"
)]
pub struct ReturnUrlError;

/// A URL that people may be sent back to.
///
/// # Errors
/// When it is another kind of URL, or none.
pub fn checked_return_url(text: &str) -> Result<Url, ReturnUrlError> {
    let url = Url::parse(text).map_err(|_| ReturnUrlError)?;
    let is_here = match url.host() {
        Some(url::Host::Domain(name)) => name == "localhost" || name.ends_with(".localhost"),
        Some(url::Host::Ipv4(v4)) => v4.is_loopback(),
        Some(url::Host::Ipv6(v6)) => v6.is_loopback(),
        None => false,
    };
    let fits = text.len() <= RETURN_URL_BYTES_MAX
        && (url.scheme() == "https" || (url.scheme() == "http" && is_here))
        && url.host().is_some()
        && url.username().is_empty()
        && url.password().is_none()
        && url.fragment().is_none();
    if fits { Ok(url) } else { Err(ReturnUrlError) }
}

impl NewLink {
    /// A link for this user and connection.
    #[must_use]
    pub fn new(proctor: &Proctor, subject: &SubjectId, connection: &Name, return_url: &Url) -> Self {
        Self::called(new_id("lnk"), proctor, subject, connection, return_url)
    }

    /// The link of this identifier, which was given out before.
    #[must_use]
    pub fn called(
        id: String,
        proctor: &Proctor,
        subject: &SubjectId,
        connection: &Name,
        return_url: &Url,
    ) -> Self {
        let (subject, connection) = (subject.clone(), connection.clone());
        let ticket = Ticket {
            subject: subject.clone(),
            connection: connection.clone(),
            link: id.clone(),
            return_url: return_url.as_str().to_owned(),
            attempt: 0,
            key: String::new(),
        };
        let url = proctor.public_url.at(&format!("/connect/{}", ticket.to_link(&proctor.vault)));
        Self { id, url, subject, connection }
    }

    /// What puts it in force.
    #[must_use]
    pub fn prepared(
        &self,
        by: By,
        connection: Arc<Connection>,
        ttl_seconds: u32,
    ) -> Prepared<UserConnection> {
        let grounds = vec![(StreamId::of::<Connection>(self.connection.as_str()), connection.version())];
        let command = UserConnectionCommand::IssueLink {
            at: now(),
            by,
            subject: self.subject.clone(),
            connection: self.connection.clone(),
            grounds: connection,
            link: self.id.clone(),
            ttl_seconds,
        };
        Prepared { command, grounds, sealed: None, side_writes: Vec::new() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn people_are_sent_back_to_the_product_alone() {
        for url in [
            "https://app.example/done?tab=1",
            "http://localhost:3000/",
            "http://127.0.0.1:80/x",
            "http://[::1]/",
        ] {
            assert!(checked_return_url(url).is_ok(), "{url}");
        }
        for url in [
            "http://app.example/",
            "javascript:alert(1)",
            "data:text/html,x",
            "file:///etc/passwd",
            "https://user@app.example/",
            "https://app.example/#x",
            "//app.example/",
            "/done",
            "",
        ] {
            assert!(checked_return_url(url).is_err(), "{url}");
        }
    }
}
