//! What the reference says about webhooks.

use super::super::openapi::{Operation, Tag};
use super::super::page::Page;
use super::super::problem::Code;
use super::super::reason::ReasonIfAny;
use super::deliveries::Query;
use super::rotate_secret::Rotation;
use super::settings::WebhookBody;
use super::{Enqueued, Shown, ShownDelivery, WithSecret};

fn operation(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    Operation::new(Tag::Webhooks, id, summary, description)
}

fn of_one(id: &'static str, summary: &'static str, description: &'static str) -> Operation {
    operation(id, summary, description).fails(&[Code::WebhookNotFound])
}

pub(in crate::api) fn list() -> Operation {
    operation("listWebhooks", "List webhooks", "All of them, in the order in which they were made.")
        .query::<Page>()
        .answers_page::<Shown<'_>>()
}

pub(in crate::api) fn create() -> Operation {
    operation(
        "createWebhook",
        "Create a webhook",
        "A backend is told from now on what happens. The secret that signs its messages is shown once, in \
         the answer.",
    )
    .takes::<WebhookBody>()
    .answers::<WithSecret<'_>>(201, "It is there.")
    .fails(&[Code::InvalidWebhook, Code::TooManyWebhooks])
}

pub(in crate::api) fn show() -> Operation {
    of_one("showWebhook", "Show a webhook", "As it is set.").answers::<Shown<'_>>(200, "The webhook.")
}

pub(in crate::api) fn revise() -> Operation {
    of_one("reviseWebhook", "Set a webhook anew", "One whose receiver was gone is sent to again.")
        .takes::<WebhookBody>()
        .answers::<Shown<'_>>(200, "It is set so.")
        .fails(&[Code::InvalidWebhook, Code::WebhookRetired])
}

pub(in crate::api) fn rotate_secret() -> Operation {
    of_one(
        "rotateWebhookSecret",
        "Put a new secret in force",
        "It is shown once, in the answer. The one before signs beside it for a while.",
    )
    .may_take::<Rotation>()
    .answers::<WithSecret<'_>>(200, "It is in force.")
    .fails(&[Code::InvalidWebhook, Code::WebhookRetired, Code::WrittenMeanwhile])
}

pub(in crate::api) fn retire() -> Operation {
    of_one("retireWebhook", "Take a webhook out of use", "For good. What was still to be sent is not.")
        .may_take::<ReasonIfAny>()
        .answers::<Shown<'_>>(200, "It is out of use.")
}

pub(in crate::api) fn test() -> Operation {
    of_one("testWebhook", "Try a webhook", "Sends a message of no meaning, whatever it is told of.")
        .answers::<Enqueued<'_>>(202, "The message is going to be sent.")
        .fails(&[Code::WebhookRetired, Code::WebhookGone])
}

pub(in crate::api) fn deliveries() -> Operation {
    of_one("listDeliveries", "List messages to a webhook", "What was and is to be sent, newest first.")
        .query::<Query>()
        .answers_page::<ShownDelivery<'_>>()
}

pub(in crate::api) fn redeliver() -> Operation {
    of_one("redeliver", "Send a message once more", "With the same identifier.")
        .answers::<Enqueued<'_>>(202, "It is going to be sent.")
        .fails(&[Code::DeliveryNotFound, Code::WebhookRetired, Code::WebhookGone])
}
