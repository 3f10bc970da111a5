//! What the reference says about identity providers.

use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::ReasonIfAny;
use super::Shown;
use super::settings::ProviderBody;

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::IdentityProviders, id, summary, description)
}

fn of_one(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::IdentityProviderNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation("listIdentityProviders", "List identity providers", "All of them, by name.")
        .query::<Page>()
        .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn register() -> Operation {
    operation(
        "registerIdentityProvider",
        "Register an identity provider",
        "Makes an OpenID Connect provider known, whose access tokens virtual servers may take.",
    )
    .takes::<ProviderBody>()
    .answers::<Shown<'_>>(201, "It is registered.")
    .fails(&[Code::IdentityProviderExists, Code::IdentityProviderRetired, Code::InvalidIdentityProvider])
}

pub(in crate::api) fn show() -> Operation {
    of_one("showIdentityProvider", "Show an identity provider", "As it is set.")
        .answers::<Shown<'_>>(200, "The identity provider.")
}

pub(in crate::api) fn revise() -> Operation {
    of_one(
        "reviseIdentityProvider",
        "Set an identity provider anew",
        "What its tokens were found to be before counts no more.",
    )
    .takes::<ProviderBody>()
    .answers::<Shown<'_>>(200, "It is set so.")
    .fails(&[Code::IdentityProviderRetired, Code::InvalidIdentityProvider])
}

pub(in crate::api) fn retire() -> Operation {
    of_one(
        "retireIdentityProvider",
        "Take an identity provider out of use",
        "For good: none of its tokens is taken any more.",
    )
    .may_take::<ReasonIfAny>()
    .answers::<Shown<'_>>(200, "It is out of use.")
}
