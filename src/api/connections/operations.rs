//! What the reference says about connections.

use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::ReasonIfAny;
use super::approve::Approval;
use super::diff::Difference;
use super::refresh::Looked;
use super::register::Registered;
use super::settings::ConnectionBody;
use super::test::Found;
use super::{AsUser, Refreshing, Shown, catalog as tools};

/// What can go wrong on the way to an upstream.
const ON_THE_WAY: &[Code] = &[
    Code::UpstreamFailed,
    Code::UpstreamRefused,
    Code::InvalidCredential,
    Code::AccountsMissing,
    Code::ConnectionRetired,
    Code::Erased,
];

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Connections, id, summary, description)
}

fn of_one(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::ConnectionNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation("listConnections", "List connections", "All of them, by name, retired ones included.")
        .query::<Page>()
        .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn register() -> Operation {
    operation(
        "registerConnection",
        "Register a connection",
        "Makes an upstream MCP server known, and looks at once what it offers.",
    )
    .takes::<ConnectionBody>()
    .answers::<Registered<'_>>(201, "It is registered.")
    .fails(&[
        Code::ConnectionExists,
        Code::ConnectionRetired,
        Code::InvalidConnection,
        Code::DiscoveryFailed,
        Code::WrittenMeanwhile,
    ])
}

pub(in crate::api) fn show() -> Operation {
    of_one("showConnection", "Show a connection", "Without its secrets.")
        .answers::<Shown<'_>>(200, "The connection.")
}

pub(in crate::api) fn reconfigure() -> Operation {
    of_one(
        "reconfigureConnection",
        "Set a connection anew",
        "Secrets that are left out are kept. What was opened with the settings before serves nobody any more.",
    )
    .takes::<ConnectionBody>()
    .answers::<Shown<'_>>(200, "It is set so.")
    .fails(&[
        Code::ConnectionRetired,
        Code::InvalidConnection,
        Code::DiscoveryFailed,
        Code::WrittenMeanwhile,
    ])
}

pub(in crate::api) fn catalog() -> Operation {
    of_one("showCatalog", "Show the tools in force", "With their definitions as the upstream gave them.")
        .answers::<tools::Shown<'_>>(200, "The catalog.")
        .fails(&[Code::CatalogNotFound])
}

pub(in crate::api) fn refresh() -> Operation {
    of_one(
        "refreshCatalog",
        "Put in force what an upstream offers now",
        "And say what has changed. With `hold=true` it is only looked at, as Proctor does by itself: what differs \
         is held, and shown.",
    )
    .query::<Refreshing>()
    .answers::<Looked<'_>>(200, "It is in force, or held.")
    .fails(ON_THE_WAY)
    .fails(&[Code::ConnectionReconfigured])
}

pub(in crate::api) fn diff() -> Operation {
    of_one(
        "showDifference",
        "Show what is held",
        "In what the upstream differs from what is in force, as it was last seen, with what is suspicious in it.",
    )
    .answers::<Difference>(200, "The difference.")
}

pub(in crate::api) fn approve() -> Operation {
    of_one(
        "approveCatalog",
        "Put in force what is held",
        "As it was shown: the digest names what was offered then. Answers with what is left.",
    )
    .takes::<Approval>()
    .answers::<Difference>(200, "It is in force.")
    .fails(&[
        Code::CatalogChanged,
        Code::UnknownTool,
        Code::UnknownPrompt,
        Code::UnknownResourceTemplate,
        Code::ConnectionRetired,
    ])
}

pub(in crate::api) fn test() -> Operation {
    of_one("testConnection", "Try to reach an upstream", "And write down how it went.")
        .query::<AsUser>()
        .answers::<Found<'_>>(200, "It was reached.")
        .fails(ON_THE_WAY)
}

pub(in crate::api) fn retire() -> Operation {
    of_one(
        "retireConnection",
        "Take a connection out of use",
        "For good: its calls are cancelled, and its name is never used again.",
    )
    .may_take::<ReasonIfAny>()
    .answers::<Shown<'_>>(200, "It is out of use.")
}
