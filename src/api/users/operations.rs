//! What the reference says about users and their accounts.

use super::super::confirmation::Wait;
use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::{Reason, ReasonIfAny};
use super::block::{Blocked, Unblocked};
use super::disconnect::Disconnected;
use super::link::{OfUser, Wish};
use super::verify::Verification;
use super::{Shown, all as users, user as standing};
use crate::credential::Credential;

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Users, id, summary, description)
}

/// Of a connection to which each user brings something.
fn of_an_account(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::ConnectionNotFound, Code::InvalidCredential])
}

pub(in crate::api) fn all() -> Operation {
    operation("listUsers", "List users", "Everybody who was seen here, in an order that says nothing.")
        .query::<Page>()
        .answers_page::<users::Shown>()
}

pub(in crate::api) fn user() -> Operation {
    operation("showUser", "Show a user", "Whether they may have sessions.")
        .answers::<standing::Shown<'_>>(200, "The user.")
        .fails(&[Code::UserNotFound])
}

pub(in crate::api) fn block() -> Operation {
    operation(
        "blockUser",
        "Block a user",
        "Ends all sessions of the user, cancels their calls and keeps new ones from beginning, by minting or \
         by login; also of somebody who was never seen.",
    )
    .query::<Wait>()
    .takes::<Reason>()
    .answers::<Blocked>(200, "The user is blocked.")
}

pub(in crate::api) fn unblock() -> Operation {
    operation("unblockUser", "Let a user have sessions again", "Those that ended stay so.")
        .may_take::<ReasonIfAny>()
        .answers::<Unblocked>(200, "The user may have sessions.")
        .fails(&[Code::UserNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation(
        "listAccounts",
        "List a user's accounts",
        "One for each connection to which each user brings something, whether they have or not.",
    )
    .query::<Page>()
    .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn show() -> Operation {
    of_an_account("showAccount", "Show a user's account", "Whether it can be used, and since when.")
        .answers::<Shown<'_>>(200, "The account.")
}

pub(in crate::api) fn set() -> Operation {
    of_an_account(
        "setCredential",
        "Set a user's credential",
        "Puts in force what a user brings to a connection, sealed with that user's own key. It is never \
         shown again.",
    )
    .takes::<Credential>()
    .answers::<Shown<'_>>(200, "It is in force.")
    .fails(&[Code::WrittenMeanwhile, Code::Erased])
}

pub(in crate::api) fn link() -> Operation {
    of_an_account(
        "createLink",
        "Make a hosted link",
        "Send the user's browser there, where they connect an account; it comes back with a code to \
         confirm.",
    )
    .takes::<Wish>()
    .answers::<OfUser<'_>>(201, "The link.")
    .fails(&[Code::InvalidLink, Code::WrittenMeanwhile, Code::Erased])
}

pub(in crate::api) fn verify() -> Operation {
    of_an_account(
        "verifyAccount",
        "Confirm who connected an account",
        "Says that the code came with this user's browser, which puts the account in force.",
    )
    .takes::<Verification>()
    .answers::<Shown<'_>>(200, "It is in force.")
    .fails(&[
        Code::UserConnectionNotFound,
        Code::VerificationFailed,
        Code::CodeUnknown,
        Code::CodeExpired,
        Code::WrittenMeanwhile,
        Code::Erased,
    ])
}

pub(in crate::api) fn disconnect() -> Operation {
    operation(
        "disconnectAccount",
        "Take an account back",
        "Cancels what is on its way with it, and gives its tokens back to their authorization server. Also \
         of a connection that is out of use.",
    )
    .query::<Wait>()
    .takes::<Reason>()
    .answers::<Disconnected>(200, "It is taken back.")
    .fails(&[Code::UserConnectionNotFound, Code::WrittenMeanwhile, Code::Erased])
}
