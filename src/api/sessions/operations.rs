//! What the reference says about sessions.

use super::super::confirmation::Wait;
use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::Reason;
use super::Shown;
use super::list::Query;
use super::mint::{Minted, Minting};
use super::revoke::Revoked;
use super::timeline::Timeline;

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Sessions, id, summary, description)
}

fn of_one(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::SessionNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation("listSessions", "List sessions", "Those that the filters name, newest first.")
        .query::<Query>()
        .answers_page::<Shown>()
        .reads_views()
}

pub(in crate::api) fn mint() -> Operation {
    operation(
        "mintSession",
        "Mint a session",
        "Opens a session of a user on a virtual server. The answer holds the URL and the token for the agent; \
         the token is shown once. A refusal for missing accounts names them in `missing`.",
    )
    .takes::<Minting>()
    .answers::<Minted>(201, "The session is open.")
    .fails(&[
        Code::InvalidTerms,
        Code::InvalidLink,
        Code::VirtualServerNotFound,
        Code::VirtualServerRetired,
        Code::UnknownTool,
        Code::UserBlocked,
        Code::UserNotFound,
        Code::AccountsMissing,
        Code::ConnectionNotFound,
        Code::InvalidCredential,
        Code::WrittenMeanwhile,
        Code::Erased,
    ])
}

pub(in crate::api) fn show() -> Operation {
    of_one(
        "showSession",
        "Show a session",
        "How it stands, and what it has used; with `at`, how it stood then.",
    )
    .query::<super::show::Query>()
    .answers::<Shown>(200, "The session.")
    .reads_views()
}

pub(in crate::api) fn timeline() -> Operation {
    of_one(
        "showTimeline",
        "Show what happened in a session",
        "Every event, oldest first. What agents sent and got is shown to auditors and administrators, whose \
         reading is on the record itself.",
    )
    .query::<Page>()
    .answers::<Timeline>(200, "A page of events.")
    .reads_views()
}

pub(in crate::api) fn revoke() -> Operation {
    of_one(
        "revokeSession",
        "End a session",
        "Once this is answered nothing more is admitted, and calls on their way are cancelled.",
    )
    .query::<Wait>()
    .takes::<Reason>()
    .answers::<Revoked>(200, "It has ended.")
}
