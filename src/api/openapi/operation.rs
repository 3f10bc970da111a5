//! What one route takes, answers and fails with.

use std::collections::BTreeMap;

use actix_web::http::header::LOCATION;
use proctor_domain::api_key::Role;
use serde_json::Value;
use utoipa::openapi::example::ExampleBuilder;
use utoipa::openapi::header::{Header, HeaderBuilder};
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::request_body::RequestBodyBuilder;
use utoipa::openapi::schema::{Object, ObjectBuilder, Ref, Schema, Type};
use utoipa::openapi::security::SecurityRequirement;
use utoipa::openapi::{Content, ContentBuilder, RefOr, Required, ResponseBuilder};
use utoipa::{IntoParams, PartialSchema as _, ToSchema};

use super::super::answer::POSITION_HEADER;
use super::super::caller::role_name;
use super::super::idempotency::{HEADER as IDEMPOTENCY_HEADER, KEY_CHARS_MAX, REPLAYED_HEADER};
use super::super::page::Paged;
use super::super::problem::Code;
use super::super::routes::Route;
use super::examples::{Example, Examples};
use super::{KEY, problems};

const JSON: &str = "application/json";
const FORM: &str = "application/x-www-form-urlencoded";

/// What any route can fail with.
const ANY: &[Code] = &[
    Code::Unauthenticated,
    Code::ApiKeyExpired,
    Code::Forbidden,
    Code::Internal,
    Code::JournalUnavailable,
    Code::InDoubt,
    Code::JournalHalted,
    Code::Busy,
    Code::Stopping,
];
/// What can be wrong with a body of JSON.
const OF_JSON: &[Code] = &[
    Code::MalformedJson,
    Code::DuplicateKey,
    Code::TooDeep,
    Code::BodyTooLarge,
    Code::WrongContentType,
    Code::InvalidBody,
];
const OF_A_FORM: &[Code] = &[Code::WrongContentType, Code::InvalidBody];
/// What can be wrong with the name of a request that is carried out once.
const OF_ONCE: &[Code] = &[
    Code::InvalidIdempotencyKey,
    Code::IdempotencyKeyReused,
    Code::RequestInProgress,
    Code::OutcomeUnknown,
    // Read before the operation itself would.
    Code::BodyTooLarge,
    Code::MalformedJson,
];

macro_rules! tags {
    ($($tag:ident = $name:literal $description:literal;)+) => {
        /// What operations are sorted by.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(in crate::api) enum Tag { $($tag),+ }

        impl Tag {
            pub(super) const ALL: &'static [Self] = &[$(Self::$tag),+];

            pub(super) fn name(self) -> &'static str {
                match self { $(Self::$tag => $name),+ }
            }

            pub(super) fn description(self) -> &'static str {
                match self { $(Self::$tag => $description),+ }
            }
        }
    };
}

tags! {
    Connections = "Connections" "Upstream MCP servers: how they are reached, and the tools that they offer.";
    VirtualServers = "Virtual servers" "What the agents of one role see.";
    Sessions = "Sessions" "Runs of agents: each of one user, on one virtual server.";
    Users = "Users" "Your product's users, and their own accounts at connections.";
    Audit = "Audit trail" "What happened. Every read of it is on the record itself.";
    Webhooks = "Webhooks" "Where a backend is told what happens to accounts and sessions.";
    IdentityProviders = "Identity providers" "Whose access tokens open sessions by themselves.";
    Keys = "Keys" "Keys to this API, and those that Proctor makes for its own purposes.";
}

/// The schemas that operations name, by who sends what they are of.
#[derive(Default)]
pub(in crate::api) struct Schemas {
    pub(super) asked: BTreeMap<String, RefOr<Schema>>,
    pub(super) answered: BTreeMap<String, RefOr<Schema>>,
}

/// A body, or an answer.
struct Body {
    content_type: &'static str,
    schema: Ref,
    named: Vec<(String, RefOr<Schema>)>,
}

impl Body {
    fn of<T: ToSchema>(content_type: &'static str) -> Self {
        let mut named = vec![(T::name().into_owned(), T::schema())];
        T::schemas(&mut named);
        Self { content_type, schema: Ref::from_schema_name(T::name()), named }
    }

    fn page_of<T: ToSchema>() -> Self {
        let mut body = Self::of::<T>(JSON);
        let name = format!("PageOf{}", T::name());
        body.schema = Ref::from_schema_name(&name);
        body.named.push((name, Paged::<T>::schema()));
        body
    }

    fn content<'e>(&self, examples: impl Iterator<Item = (&'e Example, Value)>) -> Content {
        let named = examples.map(|(example, value)| {
            let shown = ExampleBuilder::new().summary(&example.summary).value(Some(value)).build();
            (&example.name, shown)
        });
        ContentBuilder::new().schema(Some(self.schema.clone())).examples_from_iter(named).build()
    }
}

/// What one route takes, answers and fails with.
pub(in crate::api) struct Operation {
    tag: Tag,
    id: &'static str,
    summary: &'static str,
    description: &'static str,
    query: Vec<Parameter>,
    asked: Option<(Required, Body)>,
    answered: Option<(u16, &'static str, Body)>,
    codes: Vec<Code>,
}

impl Operation {
    /// One that takes nothing yet, with an identifier for programs, a few words for lists and a
    /// description.
    pub(in crate::api) fn new(
        tag: Tag,
        id: &'static str,
        summary: &'static str,
        description: &'static str,
    ) -> Self {
        let codes = ANY.to_vec();
        Self { tag, id, summary, description, query: Vec::new(), asked: None, answered: None, codes }
    }

    /// It takes the parameters of this query.
    pub(in crate::api) fn query<T: IntoParams>(mut self) -> Self {
        self.query = T::into_params(|| Some(ParameterIn::Query));
        self.codes.push(Code::InvalidQuery);
        if self.query.iter().any(|parameter| parameter.name == "cursor") {
            self.codes.push(Code::InvalidCursor);
        }
        self
    }

    /// It takes a body of JSON.
    pub(in crate::api) fn takes<T: ToSchema>(self) -> Self {
        self.asks(Required::True, Body::of::<T>(JSON), OF_JSON)
    }

    /// It takes a body of JSON, or none.
    pub(in crate::api) fn may_take<T: ToSchema>(self) -> Self {
        self.asks(Required::False, Body::of::<T>(JSON), OF_JSON)
    }

    /// It takes a form.
    pub(in crate::api) fn takes_form<T: ToSchema>(self) -> Self {
        self.asks(Required::True, Body::of::<T>(FORM), OF_A_FORM)
    }

    fn asks(mut self, required: Required, body: Body, codes: &[Code]) -> Self {
        self.asked = Some((required, body));
        self.fails(codes)
    }

    /// It answers so when all went well.
    pub(in crate::api) fn answers<T: ToSchema>(mut self, status: u16, description: &'static str) -> Self {
        self.answered = Some((status, description, Body::of::<T>(JSON)));
        self
    }

    /// It answers with a page of a list.
    pub(in crate::api) fn answers_page<T: ToSchema>(mut self) -> Self {
        self.answered = Some((200, "A page of them.", Body::page_of::<T>()));
        self
    }

    /// It can fail with these, beside what any route can.
    pub(in crate::api) fn fails(mut self, codes: &[Code]) -> Self {
        self.codes.extend(codes);
        self
    }

    /// It rests on the views, which may not have come so far.
    pub(in crate::api) fn reads_views(self) -> Self {
        self.fails(&[Code::ViewsBehind])
    }

    /// As the document has it.
    pub(super) fn described(
        mut self,
        route: &Route,
        pattern: &str,
        examples: &Examples,
        schemas: &mut Schemas,
    ) -> OperationBuilder {
        let examples: Vec<&Example> = examples.of(self.id).collect();
        let mut operation = OperationBuilder::new()
            .tag(self.tag.name())
            .operation_id(Some(self.id))
            .summary(Some(self.summary))
            .description(Some(format!("{}\n\nNeeds {}.", self.description, route.needs)));
        // One of them is enough.
        for role in
            [Role::Admin, Role::Minter, Role::Auditor].into_iter().filter(|role| route.needs.allows(*role))
        {
            operation = operation.security(SecurityRequirement::new(KEY, [role_name(role)]));
        }
        for name in names(pattern) {
            let example = examples.iter().find_map(|example| example.path.get(name));
            operation = operation.parameter(in_path(pattern, name, example));
            self.codes.push(Code::NotFound);
        }
        for parameter in self.query {
            let example = examples.iter().find_map(|example| example.query.get(&parameter.name)).cloned();
            operation = operation.parameter(ParameterBuilder::from(parameter).example(example).build());
        }
        let is_carried_out_once = route.method == "POST";
        if is_carried_out_once {
            operation = operation.parameter(name_of_a_request());
            self.codes.extend(OF_ONCE);
        }
        if let Some((required, body)) = self.asked {
            let shown = examples.iter().filter_map(|example| Some((*example, example.body.clone()?)));
            let request = RequestBodyBuilder::new().required(Some(required));
            operation =
                operation.request_body(Some(request.content(body.content_type, body.content(shown)).build()));
            add(&mut schemas.asked, body.named);
        }
        if let Some((status, description, body)) = self.answered {
            let shown = examples.iter().map(|example| (*example, example.answer.clone()));
            let mut response = ResponseBuilder::new()
                .description(description)
                .content(body.content_type, body.content(shown))
                .header(POSITION_HEADER, header(Type::Integer, "The journal's position that it has seen."));
            if is_carried_out_once {
                let replayed = header(Type::Boolean, "`true` where the request was carried out before.");
                response = response.header(REPLAYED_HEADER, replayed);
            }
            if status == 201 {
                response = response.header(LOCATION.as_str(), header(Type::String, "Where it can be read."));
            }
            operation = operation.response(status.to_string(), response.build());
            add(&mut schemas.answered, body.named);
        }
        for (status, response) in problems::responses(&self.codes) {
            operation = operation.response(status.to_string(), response);
        }
        operation
    }
}

/// Two types of one name would hide each other.
fn add(schemas: &mut BTreeMap<String, RefOr<Schema>>, named: Vec<(String, RefOr<Schema>)>) {
    for (name, schema) in named {
        debug_assert!(
            schemas.get(&name).is_none_or(|known| *known == schema),
            "two schemas are called {name}"
        );
        schemas.insert(name, schema);
    }
}

/// The names that a pattern of an address leaves open.
fn names(pattern: &str) -> impl Iterator<Item = &str> {
    pattern.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
}

fn in_path(pattern: &str, name: &str, example: Option<&Value>) -> Parameter {
    let resource = pattern.split('/').nth(1).unwrap_or_default();
    let description = match (name, resource) {
        ("name", "connections") => "The connection's name.",
        ("name", "virtual-servers") => "The virtual server's name.",
        ("name", "identity-providers") => "The identity provider's name.",
        ("connection", _) => "The connection's name.",
        ("user", _) => "The user, as your product knows them.",
        ("id", "sessions") => "The session's identifier.",
        ("id", "webhooks") => "The webhook's identifier.",
        ("id", "api-keys") => "The key's identifier, which is its SHA-256.",
        ("delivery", _) => "The delivery's identifier.",
        ("purpose", _) => "What the key is for.",
        ("call_id", _) => "The tool call's identifier.",
        _ => "",
    };
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some(description))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String).min_length(Some(1)).build()))
        .example(example.cloned())
        .build()
}

/// The parameter with which a request is carried out once.
fn name_of_a_request() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .pattern(Some("^[!-~]+$"))
        .min_length(Some(1))
        .max_length(Some(KEY_CHARS_MAX));
    ParameterBuilder::new()
        .name(IDEMPOTENCY_HEADER)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(
            "A name for this request, such as a random UUID. Sent again with it within 24 hours, the request is \
             not carried out again and gets the same answer.",
        ))
        .schema(Some(schema.build()))
        .build()
}

/// A header of an answer.
pub(super) fn header(kind: Type, description: &str) -> Header {
    HeaderBuilder::new().schema(Some(Object::with_type(kind))).description(Some(description)).build()
}
