//! `POST /api-keys`: makes a key for this door, and shows it, once.

use actix_web::{HttpResponse, web};
use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use proctor_domain::Micros;
use proctor_domain::api_key::{ApiKey, ApiKeyCommand, Role};
use rand::Rng as _;
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;
use zeroize::Zeroizing;

use super::super::answer;
use super::super::body::Body;
use super::super::caller::Caller;
use super::super::openapi::words;
use super::super::problem::{Code, Problem};
use super::super::time;
use super::Shown;
use crate::actors::{ApiKeys, now};
use crate::proctor::Proctor;

/// Longest name, in characters.
const NAME_CHARS_MAX: usize = 128;
/// Random bytes in a key.
const KEY_BYTES: usize = 32;
/// What a key begins with, so that one that was left lying about is recognised.
const KEY_PREFIX: &str = "proctor_";

/// The key that is wanted.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = NewApiKey)]
pub(in crate::api) struct Wanted {
    /// What people know it by.
    #[schema(min_length = 1, max_length = 128)]
    name: String,
    #[schema(value_type = words::Role)]
    role: Role,
    /// When it ends; never, when left out.
    #[schema(format = DateTime)]
    expires_at: Option<String>,
}

/// A key that was made, and the key itself, which is shown once.
#[derive(Serialize, ToSchema)]
#[schema(as = MadeApiKey)]
pub(super) struct Made<'a> {
    #[serde(flatten)]
    #[schema(inline)]
    shown: Shown<'a>,
    /// What is sent as `Authorization: Bearer`.
    key: &'a str,
}

pub(in crate::api) async fn create(
    proctor: web::Data<Proctor>,
    caller: Caller,
    Body(body): Body<Wanted>,
) -> Result<HttpResponse, Problem> {
    let expires_at = body.check(now())?;
    let key = new_key();
    let id = ApiKeys::id_of(&key);
    let command = ApiKeyCommand::Create { by: caller.by(), name: body.name, role: body.role, expires_at };
    let events = caller.tell::<ApiKey>(&proctor, id.as_str(), command).await?;
    let state = super::fresh(&proctor, id.as_str()).await?;
    let shown = Made { shown: super::shown(id.as_str(), &state, None), key: &key };
    let position = proctor.directory.position_of(&events);
    Ok(answer::created(position, &format!("/api/v1/api-keys/{id}"), &shown))
}

impl Wanted {
    /// When it ends, if all of it can be.
    fn check(&self, at: Micros) -> Result<Option<Micros>, Problem> {
        let wrong = |detail: String| Err(Problem::new(Code::InvalidApiKey, detail));
        let chars = self.name.chars().count();
        if self.name.trim().is_empty() || chars > NAME_CHARS_MAX || self.name.chars().any(char::is_control) {
            return wrong(format!(
                "name must have 1 to {NAME_CHARS_MAX} characters, none of them a control character"
            ));
        }
        let Some(text) = &self.expires_at else { return Ok(None) };
        match time::read(text) {
            Some(end) if end > at => Ok(Some(end)),
            Some(_) => wrong(format!("expires_at is {text:?}, which is over: choose a time to come")),
            None => wrong(format!(
                "expires_at is {text:?}: write an RFC 3339 time such as 2027-11-22T00:00:00Z, or leave it out"
            )),
        }
    }
}

fn new_key() -> Zeroizing<String> {
    let mut random = Zeroizing::new([0; KEY_BYTES]);
    rand::rng().fill_bytes(random.as_mut_slice());
    Zeroizing::new(format!("{KEY_PREFIX}{}", URL_SAFE_NO_PAD.encode(random.as_slice())))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn checked(name: &str, expires_at: Option<&str>) -> Result<Option<Micros>, Problem> {
        let wanted =
            Wanted { name: name.to_owned(), role: Role::Minter, expires_at: expires_at.map(str::to_owned) };
        wanted.check(Micros(0))
    }

    #[test]
    fn a_key_has_a_name_and_an_end_that_is_to_come_or_none() {
        assert_eq!(checked("backend", None).unwrap(), None);
        assert_eq!(checked("backend", Some("1970-01-01T00:00:01Z")).unwrap(), Some(Micros(1_000_000)));
        for (name, end) in [
            ("", None),
            (" ", None),
            ("a\nb", None),
            (&*"x".repeat(129), None),
            ("backend", Some("1970-01-01T00:00:00Z")),
            ("backend", Some("tomorrow")),
        ] {
            assert_eq!(checked(name, end).unwrap_err().code, Code::InvalidApiKey, "{name:?} {end:?}");
        }
    }

    #[test]
    fn no_two_keys_are_the_same_and_each_can_be_recognised() {
        let (one, other) = (new_key(), new_key());
        assert_ne!(one, other);
        assert!(one.starts_with("proctor_") && one.len() > 48, "{}", one.len());
    }
}
