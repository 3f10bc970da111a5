//! `POST /users/{user}/connections/{connection}/link`: a hosted link by which the user connects an
//! account.

use actix_web::{HttpResponse, web};
use proctor_domain::connection::Connection;
use proctor_domain::user_connection::{LINK_SECONDS_DEFAULT, UserConnection};
use proctor_domain::{Name, SubjectId};
use serde::{Deserialize, Serialize};
use url::Url;
use url::form_urlencoded::byte_serialize;
use utoipa::ToSchema;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use super::super::time;
use super::{of_each_user, reference};
use crate::connect::{NewLink, checked_return_url};
use crate::journal::Delivered;
use crate::opening::{USER_CHARS_MAX, user_fits};
use crate::proctor::Proctor;

/// A link that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewLink)]
pub(in crate::api) struct Wish {
    /// Where the user comes back to.
    #[schema(format = "uri")]
    return_url: String,
    /// How long it can be used.
    #[schema(minimum = 60, maximum = 86_400)]
    ttl_seconds: Option<u32>,
}

/// A hosted link.
#[derive(Serialize, ToSchema)]
pub(in crate::api) struct Link {
    link_id: String,
    #[schema(value_type = words::Name)]
    connection: Name,
    /// Where to send the user's browser.
    url: String,
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A hosted link for a user.
#[derive(Serialize, ToSchema)]
#[schema(as = LinkOfUser)]
pub(super) struct OfUser<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    link: Link,
    user: &'a str,
}

pub(in crate::api) async fn link(
    proctor: web::Data<Proctor>,
    caller: Caller,
    path: web::Path<(String, String)>,
    Body(wish): Body<Wish>,
) -> Result<HttpResponse, Problem> {
    let (user, name) = path.into_inner();
    if !user_fits(&user) {
        let detail = format!("the user must have 1 to {USER_CHARS_MAX} characters");
        return Err(Problem::new(Code::InvalidLink, detail));
    }
    let return_url = return_url(&wish.return_url)?;
    let (name, ..) = of_each_user(&proctor, &name).await?;
    let subject = reference(&proctor, &caller, &user).await?;
    let ttl_seconds = wish.ttl_seconds.unwrap_or(LINK_SECONDS_DEFAULT);
    let (link, events) = issue(&proctor, &caller, &subject, &name, &return_url, ttl_seconds).await?;
    let shown = OfUser { link, user: &user };
    let position = proctor.directory.position_of(&events);
    let place = format!("/api/v1/users/{}/connections/{name}", in_an_address(&user));
    Ok(answer::created(position, &place, &shown))
}

/// A user may be called anything; in an address there are only few characters.
fn in_an_address(user: &str) -> String {
    // Of a form's spaces: they are the one thing that is written otherwise in a path.
    byte_serialize(user.as_bytes()).collect::<String>().replace('+', "%20")
}

/// Where people are sent back to.
pub(in crate::api) fn return_url(text: &str) -> Result<Url, Problem> {
    checked_return_url(text).map_err(|error| Problem::new(Code::InvalidLink, error.to_string()))
}

/// Gives out a link, and shows it.
pub(in crate::api) async fn issue(
    proctor: &Proctor,
    caller: &Caller,
    subject: &SubjectId,
    name: &Name,
    return_url: &Url,
    ttl_seconds: u32,
) -> Result<(Link, Vec<Delivered>), Problem> {
    let link = NewLink::new(proctor, subject, name, return_url);
    let id = UserConnection::id(subject, name);
    let events = caller
        .act::<UserConnection, _>(proctor, &id, || async {
            let connection = proctor.directory.fresh::<Connection>(name.as_str()).await?;
            Ok(link.prepared(caller.by(), connection, ttl_seconds))
        })
        .await?;
    // The one before may have brought something that nobody waits for any more.
    proctor.leftovers.look_soon();
    let state = proctor.directory.state::<UserConnection>(&id).await?;
    let expires_at = state.link().map(|link| time::shown(link.expires_at()));
    let shown = Link { link_id: link.id, connection: name.clone(), url: link.url, expires_at };
    Ok((shown, events))
}
