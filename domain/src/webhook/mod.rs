//! Where a backend is told what happens: an address and the kinds of events that are sent there.

mod topic;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::decider::{aggregate, domain_event};
use crate::{By, Decider, Micros, Place};

pub use topic::Topic;

/// Most patterns of one webhook.
pub const PATTERNS_MAX: usize = 16;
/// Longest description, in characters.
pub const DESCRIPTION_CHARS_MAX: usize = 500;
/// Longest time for which a secret that was replaced goes on signing, in seconds: a week.
pub const OVERLAP_SECONDS_MAX: u32 = 7 * 86_400;
/// So many secrets that were replaced go on signing at most.
const OLDER_MAX: usize = 4;

/// Everything about a webhook that an administrator sets. Its secret is sealed in the vault.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// Where messages are sent.
    pub url: String,
    /// Which: names of [`Topic`]s, and families such as `session.*`.
    pub events: Vec<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Whether the receiver may stand at an address that is not globally routable.
    pub private_network: bool,
}

impl Settings {
    fn check(&self) -> Result<(), WebhookError> {
        if self.events.is_empty() || self.events.len() > PATTERNS_MAX {
            return Err(WebhookError::Patterns);
        }
        if self.description.as_ref().is_some_and(|text| text.chars().count() > DESCRIPTION_CHARS_MAX) {
            return Err(WebhookError::Description);
        }
        let names_nothing =
            |pattern: &&String| !Topic::SUBSCRIBED.iter().any(|topic| topic.is_named_by(pattern));
        match self.events.iter().find(names_nothing) {
            Some(pattern) => Err(WebhookError::UnknownPattern(pattern.chars().take(80).collect())),
            None => Ok(()),
        }
    }

    /// Whether a topic was subscribed to.
    #[must_use]
    pub fn subscribes_to(&self, topic: Topic) -> bool {
        self.events.iter().any(|pattern| topic.is_named_by(pattern))
    }
}

/// What can be asked of a [`Webhook`].
#[derive(Clone, Debug)]
pub enum WebhookCommand {
    /// Makes it known.
    Create {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Sets it anew. One whose receiver said that it is gone is sent to again from here on.
    Revise {
        /// Who asks.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Puts a new secret in force.
    RotateSecret {
        /// Who asks.
        by: By,
        /// Which secret was sealed for this.
        generation: u32,
        /// How long the ones before sign as well, in seconds.
        overlap_seconds: u32,
    },
    /// Sends a message of no meaning.
    Test {
        /// Who asks.
        by: By,
    },
    /// Sends a message once more.
    Redeliver {
        /// Who asks.
        by: By,
        /// Which.
        delivery: String,
    },
    /// The receiver said that it is gone for good.
    Disable {
        /// Who asks.
        by: By,
        /// The settings that it was sent with.
        revision: u32,
    },
    /// Takes it out of use for good.
    Retire {
        /// Who asks.
        by: By,
        /// Why.
        reason: String,
    },
}

/// What happened to a [`Webhook`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum WebhookEvent {
    /// It became known: what happens from here on is sent.
    WebhookCreated {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
        /// 1; names the sealed secret.
        generation: u32,
    },
    /// It was set anew.
    WebhookRevised {
        /// Who did it.
        by: By,
        /// How it is set.
        settings: Settings,
    },
    /// Another secret is in force from here on.
    WebhookSecretRotated {
        /// Who did it.
        by: By,
        /// One more than before; names the sealed secret.
        generation: u32,
        /// How long the ones before sign as well, in seconds.
        overlap_seconds: u32,
    },
    /// A message of no meaning is to be sent.
    WebhookTested {
        /// Who did it.
        by: By,
    },
    /// A message is to be sent once more.
    WebhookRedelivered {
        /// Who did it.
        by: By,
        /// Which.
        delivery: String,
    },
    /// The receiver said that it is gone for good: nothing is sent until it is set anew.
    WebhookGone {
        /// Who was told so.
        by: By,
    },
    /// It is out of use for good.
    WebhookRetired {
        /// Who did it.
        by: By,
        /// Why.
        reason: String,
    },
}

domain_event!(WebhookEvent {
    WebhookCreated = "1",
    WebhookRevised = "1",
    WebhookSecretRotated = "1",
    WebhookTested = "1",
    WebhookRedelivered = "1",
    WebhookGone = "1",
    WebhookRetired = "1",
});

/// Nonsense asked of a [`Webhook`].
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WebhookError {
    /// It was never created.
    #[error("there is no such webhook: list them, or create it")]
    Unknown,
    /// Its identifier is taken.
    #[error("a webhook of this identifier exists: revise it")]
    Exists,
    /// It is out of use.
    #[error("this webhook was retired: create another")]
    Retired,
    /// Its receiver is gone.
    #[error("the receiver answered 410 Gone, and nothing is sent to it: set the webhook anew to go on")]
    Gone,
    /// No patterns, or too many.
    #[error("events must hold 1 to {PATTERNS_MAX} names, such as session.* or user_connection.expired")]
    Patterns,
    /// A pattern that names nothing.
    #[error(
        "\"{}\" names no events: choose among {}, or a family as session.*",
        .0.escape_debug(),
        Topic::SUBSCRIBED.map(Topic::code).join(", ")
    )]
    UnknownPattern(String),
    /// A description that is too long.
    #[error("the description has more than {DESCRIPTION_CHARS_MAX} characters: shorten it")]
    Description,
    /// Old secrets that would sign for too long.
    #[error(
        "overlap_seconds is over {OVERLAP_SECONDS_MAX}: a secret that was replaced signs for a week at most"
    )]
    Overlap,
    /// Another secret was put in force, or it was set anew, meanwhile.
    #[error("the webhook was changed meanwhile: try again")]
    Overtaken,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    #[default]
    Unknown,
    Active,
    Gone,
    Retired,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    version: u64,
    status: Status,
    settings: Option<Arc<Settings>>,
    revision: u32,
    generation: u32,
    /// Secrets that were replaced, newest last, and until when each signs.
    older: Vec<(u32, Micros)>,
}

impl Webhook {
    /// Whether messages are sent to it.
    #[must_use]
    pub fn is_active(&self) -> bool {
        self.status == Status::Active
    }

    /// How it stands, as it is shown.
    #[must_use]
    pub fn state(&self) -> &'static str {
        match self.status {
            Status::Unknown => "unknown",
            Status::Active => "active",
            Status::Gone => "gone",
            Status::Retired => "retired",
        }
    }

    /// How it is set; `None` when it was never created.
    #[must_use]
    pub fn settings(&self) -> Option<&Arc<Settings>> {
        self.settings.as_ref()
    }

    /// Counts its settings from 1.
    #[must_use]
    pub fn revision(&self) -> u32 {
        self.revision
    }

    /// Counts its secrets from 1.
    #[must_use]
    pub fn generation(&self) -> u32 {
        self.generation
    }

    /// The secrets that sign at this time, the newest first.
    #[must_use]
    pub fn signing(&self, at: Micros) -> Vec<u32> {
        let older =
            self.older.iter().rev().filter(|(_, until)| at < *until).map(|(generation, _)| *generation);
        std::iter::once(self.generation).chain(older).collect()
    }
}

aggregate!(Webhook, "webhook", WebhookCommand, WebhookEvent, WebhookError);

impl Decider for Webhook {
    fn decide(&self, command: &WebhookCommand) -> Result<Vec<WebhookEvent>, WebhookError> {
        use WebhookCommand as Command;
        match (self.status, command) {
            (Status::Unknown, Command::Create { by, settings }) => {
                settings.check()?;
                let (by, settings) = (by.clone(), settings.clone());
                Ok(vec![WebhookEvent::WebhookCreated { by, settings, generation: 1 }])
            }
            (_, Command::Create { .. }) => Err(WebhookError::Exists),
            (Status::Unknown, _) => Err(WebhookError::Unknown),
            (Status::Retired, Command::Retire { .. } | Command::Disable { .. }) => Ok(Vec::new()),
            (Status::Retired, _) => Err(WebhookError::Retired),
            (Status::Active, Command::Revise { settings, .. })
                if self.settings.as_deref() == Some(settings) =>
            {
                Ok(Vec::new())
            }
            (Status::Active | Status::Gone, Command::Revise { by, settings }) => {
                settings.check()?;
                Ok(vec![WebhookEvent::WebhookRevised { by: by.clone(), settings: settings.clone() }])
            }
            (_, Command::RotateSecret { overlap_seconds, .. }) if *overlap_seconds > OVERLAP_SECONDS_MAX => {
                Err(WebhookError::Overlap)
            }
            (_, Command::RotateSecret { generation, .. }) if *generation != self.generation + 1 => {
                Err(WebhookError::Overtaken)
            }
            (_, Command::RotateSecret { by, generation, overlap_seconds }) => {
                Ok(vec![WebhookEvent::WebhookSecretRotated {
                    by: by.clone(),
                    generation: *generation,
                    overlap_seconds: *overlap_seconds,
                }])
            }
            (Status::Gone, Command::Test { .. } | Command::Redeliver { .. }) => Err(WebhookError::Gone),
            (Status::Active, Command::Test { by }) => {
                Ok(vec![WebhookEvent::WebhookTested { by: by.clone() }])
            }
            (Status::Active, Command::Redeliver { by, delivery }) => {
                Ok(vec![WebhookEvent::WebhookRedelivered { by: by.clone(), delivery: delivery.clone() }])
            }
            // Who is gone is whoever stood at the address that it was sent to.
            (Status::Active, Command::Disable { revision, .. }) if *revision != self.revision => {
                Err(WebhookError::Overtaken)
            }
            (Status::Active, Command::Disable { by, .. }) => {
                Ok(vec![WebhookEvent::WebhookGone { by: by.clone() }])
            }
            (Status::Gone, Command::Disable { .. }) => Ok(Vec::new()),
            (Status::Active | Status::Gone, Command::Retire { by, reason }) => {
                Ok(vec![WebhookEvent::WebhookRetired { by: by.clone(), reason: reason.clone() }])
            }
        }
    }

    fn evolve(&mut self, event: &WebhookEvent, place: Place) {
        self.version += 1;
        match event {
            WebhookEvent::WebhookCreated { settings, generation, .. } => {
                self.status = Status::Active;
                self.settings = Some(Arc::new(settings.clone()));
                self.revision = 1;
                self.generation = *generation;
            }
            WebhookEvent::WebhookRevised { settings, .. } => {
                self.status = Status::Active;
                self.settings = Some(Arc::new(settings.clone()));
                self.revision += 1;
            }
            WebhookEvent::WebhookSecretRotated { generation, overlap_seconds, .. } => {
                let overlap = i64::from(*overlap_seconds) * 1_000_000;
                let until = Micros(place.recorded_at.0.saturating_add(overlap));
                self.older.retain(|(_, ends)| place.recorded_at < *ends);
                self.older.push((self.generation, until));
                // Whoever takes a secret out of force at once means those before it as well.
                for (_, ends) in &mut self.older {
                    *ends = until.min(*ends);
                }
                let surplus = self.older.len().saturating_sub(OLDER_MAX);
                self.older.drain(..surplus);
                self.generation = *generation;
            }
            WebhookEvent::WebhookTested { .. } | WebhookEvent::WebhookRedelivered { .. } => {}
            WebhookEvent::WebhookGone { .. } => self.status = Status::Gone,
            WebhookEvent::WebhookRetired { .. } => self.status = Status::Retired,
        }
    }

    fn version(&self) -> u64 {
        self.version
    }

    fn set_time(_: &mut WebhookCommand, _: Micros) {}
}
