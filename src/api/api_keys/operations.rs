//! What the reference says about keys to this door.

use super::super::confirmation::Wait;
use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::Reason;
use super::Shown;
use super::create::{Made, Wanted};
use super::revoke::Revoked;

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Keys, id, summary, description)
}

pub(in crate::api) fn list() -> Operation {
    operation("listApiKeys", "List API keys", "All that were ever made, by identifier.")
        .query::<Page>()
        .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn create() -> Operation {
    operation("createApiKey", "Make an API key", "The key itself is shown once, in the answer.")
        .takes::<Wanted>()
        .answers::<Made<'_>>(201, "It is there.")
        .fails(&[Code::InvalidApiKey])
}

pub(in crate::api) fn show() -> Operation {
    operation("showApiKey", "Show an API key", "Without the key itself.")
        .answers::<Shown<'_>>(200, "The key.")
        .fails(&[Code::ApiKeyNotFound])
}

pub(in crate::api) fn revoke() -> Operation {
    operation(
        "revokeApiKey",
        "Revoke an API key",
        "For good: once this is answered, nothing is done with it any more. The last administrator's key \
         stays.",
    )
    .query::<Wait>()
    .takes::<Reason>()
    .answers::<Revoked<'_>>(200, "It counts no more.")
    .fails(&[Code::ApiKeyNotFound, Code::LastAdministrator])
}
