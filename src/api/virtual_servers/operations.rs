//! What the reference says about virtual servers.

use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::ReasonIfAny;
use super::Shown;
use super::definition::DefinitionBody;
use super::manifest::{Answer, Query};
use super::readiness::Readiness;
use super::versions::Shown as Version;

/// What can be wrong with a definition.
const OF_A_DEFINITION: &[Code] = &[
    Code::InvalidDefinition,
    Code::UnknownConnection,
    Code::UnknownIdentityProvider,
    Code::CatalogNotRead,
    Code::UnknownTool,
    Code::UnknownPrompt,
    Code::UnknownResourceTemplate,
    Code::NoResources,
    Code::ToolHeld,
    Code::UnknownArgument,
];

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::VirtualServers, id, summary, description)
}

fn of_one(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::VirtualServerNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation("listVirtualServers", "List virtual servers", "All of them, by name, retired ones included.")
        .query::<Page>()
        .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn define() -> Operation {
    operation(
        "defineVirtualServer",
        "Define a virtual server",
        "Says what the agents of one role see, as version 1. An empty list of tools exposes nothing.",
    )
    .takes::<DefinitionBody>()
    .answers::<Shown<'_>>(201, "It is defined.")
    .fails(OF_A_DEFINITION)
    .fails(&[Code::VirtualServerExists, Code::VirtualServerRetired])
}

pub(in crate::api) fn show() -> Operation {
    of_one("showVirtualServer", "Show a virtual server", "At its newest version.")
        .answers::<Shown<'_>>(200, "The virtual server.")
}

pub(in crate::api) fn revise() -> Operation {
    of_one(
        "reviseVirtualServer",
        "Define a virtual server anew",
        "Makes a new version, which holds for the sessions that are open as well. Nothing happens when \
         nothing changes.",
    )
    .takes::<DefinitionBody>()
    .answers::<Shown<'_>>(200, "It is defined so.")
    .fails(OF_A_DEFINITION)
    .fails(&[Code::VirtualServerRetired])
}

pub(in crate::api) fn versions() -> Operation {
    of_one("listVersions", "List the versions of a virtual server", "Every one that there was, newest first.")
        .query::<Page>()
        .answers_page::<Version<'_>>()
}

pub(in crate::api) fn manifest() -> Operation {
    of_one(
        "showManifest",
        "Show what agents see",
        "The tools as agents are told of them, and what that costs their models.",
    )
    .query::<Query>()
    .answers::<Answer<'_>>(200, "The manifest.")
    .fails(&[Code::InvalidDefinition])
}

pub(in crate::api) fn readiness() -> Operation {
    of_one(
        "checkReadiness",
        "Say whether a session could be minted",
        "And which accounts the user has to connect first. Nothing is written.",
    )
    .answers::<Readiness>(200, "Whether it could.")
}

pub(in crate::api) fn retire() -> Operation {
    of_one(
        "retireVirtualServer",
        "Take a virtual server out of use",
        "For good: its sessions end, and its name is never used again.",
    )
    .may_take::<ReasonIfAny>()
    .answers::<Shown<'_>>(200, "It is out of use.")
}
