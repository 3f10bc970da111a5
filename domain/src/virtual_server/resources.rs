//! Which resources of which connections a virtual server exposes, and how its agents address them.
//!
//! **Invariants.** A URI that an agent names leads to one connection at most: where the rules of two
//! connections could cover the same URI, agents name what both have by `proctor:{connection}/{uri}`. A
//! URI that no rule covers leads nowhere.

use std::borrow::Cow;
use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::Definition;
use super::uri_template::UriTemplate;
use crate::Name;

/// The scheme of URIs that say which connection they belong to.
const QUALIFIED: &str = "proctor:";

/// One resource that the agent may read.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedResource {
    /// The connection that has it.
    pub connection: Name,
    /// Its URI there.
    pub uri: String,
}

/// A resource template of which the agent may read every resource.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExposedResourceTemplate {
    /// The connection that offers it.
    pub connection: Name,
    /// The template there (RFC 6570).
    pub uri_template: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Pattern {
    Uri(String),
    Template(String, UriTemplate),
}

impl Pattern {
    fn covers(&self, uri: &str) -> bool {
        match self {
            Self::Uri(exact) => exact == uri,
            Self::Template(_, template) => template.matches(uri),
        }
    }

    /// Whether one URI could be covered by both; in doubt it could.
    fn overlaps(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Uri(uri), pattern) | (pattern, Self::Uri(uri)) => pattern.covers(uri),
            (Self::Template(_, a), Self::Template(_, b)) => {
                a.prefix().starts_with(b.prefix()) || b.prefix().starts_with(a.prefix())
            }
        }
    }

    fn text(&self) -> &str {
        match self {
            Self::Uri(text) | Self::Template(text, _) => text,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Rule {
    connection: Name,
    pattern: Pattern,
}

/// See the module.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resources {
    rules: Vec<Rule>,
    /// Connections whose URIs say whose they are.
    qualified: BTreeSet<Name>,
}

/// A resource that a URI leads to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FoundResource<'a> {
    /// The connection that has it.
    pub connection: &'a Name,
    /// Its URI there.
    pub uri: &'a str,
    /// What exposes it: the same URI, or a template.
    pub exposed_by: &'a str,
    /// Whether that is a template.
    pub by_template: bool,
}

impl Resources {
    /// What a definition exposes. A template that cannot be read exposes nothing.
    #[must_use]
    pub fn of(definition: &Definition) -> Self {
        let exact = definition.resources.iter().map(|resource| Rule {
            connection: resource.connection.clone(),
            pattern: Pattern::Uri(resource.uri.clone()),
        });
        let templates = definition.resource_templates.iter().filter_map(|exposed| {
            let template = UriTemplate::parse(&exposed.uri_template).ok()?;
            let pattern = Pattern::Template(exposed.uri_template.clone(), template);
            Some(Rule { connection: exposed.connection.clone(), pattern })
        });
        let rules: Vec<Rule> = exact.chain(templates).collect();
        let clashes = |rule: &&Rule| {
            let others = rules.iter().filter(|other| other.connection != rule.connection);
            others.into_iter().any(|other| other.pattern.overlaps(&rule.pattern))
        };
        let qualified = rules.iter().filter(clashes).map(|rule| rule.connection.clone()).collect();
        Self { rules, qualified }
    }

    /// Whether none is exposed.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.rules.is_empty()
    }

    /// The connections of which any is exposed, each once.
    #[must_use]
    pub fn connections(&self) -> BTreeSet<&Name> {
        self.rules.iter().map(|rule| &rule.connection).collect()
    }

    /// What a URI, as an agent names it, leads to.
    #[must_use]
    pub fn find<'a>(&'a self, uri: &'a str) -> Option<FoundResource<'a>> {
        let named = uri.strip_prefix(QUALIFIED).and_then(|rest| rest.split_once('/'));
        if let Some((connection, uri)) = named
            && let Some(connection) = self.qualified.iter().find(|name| name.as_str() == connection)
        {
            return self.covering(connection, uri);
        }
        let open = self.rules.iter().filter(|rule| !self.qualified.contains(&rule.connection));
        let connection = &open.into_iter().find(|rule| rule.pattern.covers(uri))?.connection;
        self.covering(connection, uri)
    }

    /// The template, as an agent names it, and its connection.
    #[must_use]
    pub fn find_template<'a>(&'a self, shown: &str) -> Option<(&'a Name, &'a str)> {
        let templates = self.rules.iter().filter(|rule| matches!(rule.pattern, Pattern::Template(..)));
        let mut named = templates.map(|rule| (&rule.connection, rule.pattern.text()));
        named.find(|(connection, template)| self.shown_template(connection, template) == shown)
    }

    /// Whether a resource of a connection is exposed.
    #[must_use]
    pub fn covers(&self, connection: &Name, uri: &str) -> bool {
        self.covering(connection, uri).is_some()
    }

    /// How agents name a URI that came from this connection. One that no rule covers stays as it is, unless
    /// it would lead to another connection's resource.
    #[must_use]
    pub fn shown_uri<'u>(&self, connection: &Name, uri: &'u str) -> Cow<'u, str> {
        let is_open = !self.qualified.contains(connection);
        let says_whose = match self.covers(connection, uri) {
            true => !is_open,
            false => self.find(uri).is_some(),
        };
        if says_whose { Cow::Owned(qualified(connection, uri)) } else { Cow::Borrowed(uri) }
    }

    /// How agents name a template of this connection.
    #[must_use]
    pub fn shown_template<'u>(&self, connection: &Name, template: &'u str) -> Cow<'u, str> {
        match self.qualified.contains(connection) {
            true => Cow::Owned(qualified(connection, template)),
            false => Cow::Borrowed(template),
        }
    }

    /// Whether any URI can have to be written otherwise than its connection writes it.
    #[must_use]
    pub fn rewrites(&self) -> bool {
        !self.qualified.is_empty() || self.connections().len() > 1
    }

    /// The rule of this connection that covers a URI: the URI itself before any template.
    fn covering<'a>(&'a self, connection: &Name, uri: &'a str) -> Option<FoundResource<'a>> {
        let theirs = self.rules.iter().filter(|rule| rule.connection == *connection);
        theirs.into_iter().find(|rule| rule.pattern.covers(uri)).map(|rule| FoundResource {
            connection: &rule.connection,
            uri,
            exposed_by: rule.pattern.text(),
            by_template: matches!(rule.pattern, Pattern::Template(..)),
        })
    }
}

fn qualified(connection: &Name, uri: &str) -> String {
    format!("{QUALIFIED}{connection}/{uri}")
}
