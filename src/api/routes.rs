//! Every address of the door, what it takes, and who may ask.
//!
//! **Invariants.** A handler is reached only through the table, so that none is without a need, and
//! without a place in the reference: beside every handler there is a function of its name in its
//! resource's module `operations`.

use std::fmt;

use actix_web::dev::ServiceRequest;
use actix_web::http::Method;
use actix_web::middleware::from_fn;
use actix_web::{HttpRequest, HttpResponse, ResponseError as _, Scope, web};
use proctor_domain::api_key::Role;

use super::caller::authenticate;
use super::idempotency::once;
use super::openapi::Operation;
use super::problem::{Code, Problem};
use super::{
    api_keys, audit, connections, identity_providers, introspect, purpose_keys, revocations, sessions, users,
    virtual_servers, webhooks,
};

/// Where all of it stands.
pub(super) const PREFIX: &str = "/api/v1";

/// Which role a route needs; an administrator may do all.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Needs {
    /// Changes what everybody else works with.
    Admin,
    /// Opens and ends sessions.
    Minter,
    /// Reads.
    Auditor,
    /// Reads about sessions.
    MinterOrAuditor,
}

impl Needs {
    pub(super) fn allows(self, role: Role) -> bool {
        match (role, self) {
            (Role::Admin, _)
            | (Role::Minter, Self::Minter | Self::MinterOrAuditor)
            | (Role::Auditor, Self::Auditor | Self::MinterOrAuditor) => true,
            (Role::Minter, Self::Admin | Self::Auditor) | (Role::Auditor, Self::Admin | Self::Minter) => {
                false
            }
        }
    }
}

impl fmt::Display for Needs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Admin => "the role admin",
            Self::Minter => "the role minter",
            Self::Auditor => "the role auditor",
            Self::MinterOrAuditor => "the role minter or auditor",
        })
    }
}

/// One method of an address.
pub(super) struct Route {
    pub(super) method: &'static str,
    pub(super) needs: Needs,
    /// What the reference says about it.
    pub(super) operation: fn() -> Operation,
}

macro_rules! routes {
    ($($path:literal { $($method:ident $needs:ident $resource:ident::$handler:ident),+ $(,)? })+) => {
        /// The addresses, and the methods of each.
        pub(super) const TABLE: &[(&str, &[Route])] = &[$(($path, &[$(Route {
            method: stringify!($method),
            needs: Needs::$needs,
            operation: $resource::operations::$handler,
        }),+])),+];

        fn registered(scope: Scope) -> Scope {
            scope$(.service(
                web::resource($path)
                    $(.route(web::method(Method::$method).to($resource::$handler)))+
                    .default_service(web::to(wrong_method)),
            ))+
        }
    };
}

routes! {
    "/connections" {
        GET Auditor connections::list,
        POST Admin connections::register,
    }
    "/connections/{name}" {
        GET Auditor connections::show,
        PUT Admin connections::reconfigure,
    }
    "/connections/{name}/catalog" { GET Auditor connections::catalog }
    "/connections/{name}/catalog/refresh" { POST Admin connections::refresh }
    "/connections/{name}/diff" { GET Auditor connections::diff }
    "/connections/{name}/approve" { POST Admin connections::approve }
    "/connections/{name}/test" { POST Admin connections::test }
    "/connections/{name}/retire" { POST Admin connections::retire }
    "/virtual-servers" {
        GET Auditor virtual_servers::list,
        POST Admin virtual_servers::define,
    }
    "/virtual-servers/{name}" {
        GET Auditor virtual_servers::show,
        PUT Admin virtual_servers::revise,
    }
    "/virtual-servers/{name}/versions" { GET Auditor virtual_servers::versions }
    "/virtual-servers/{name}/manifest" { GET Auditor virtual_servers::manifest }
    "/virtual-servers/{name}/users/{user}/readiness" { GET MinterOrAuditor virtual_servers::readiness }
    "/users/{user}" { GET MinterOrAuditor users::user }
    "/users/{user}/block" { POST Admin users::block }
    "/users/{user}/unblock" { POST Admin users::unblock }
    "/users" { GET Auditor users::all }
    "/users/{user}/connections" { GET MinterOrAuditor users::list }
    "/users/{user}/connections/{connection}" { GET MinterOrAuditor users::show }
    "/users/{user}/connections/{connection}/credential" { PUT Admin users::set }
    "/users/{user}/connections/{connection}/link" { POST Minter users::link }
    "/users/{user}/connections/{connection}/verify" { POST Minter users::verify }
    "/users/{user}/connections/{connection}/disconnect" { POST Minter users::disconnect }
    "/virtual-servers/{name}/retire" { POST Admin virtual_servers::retire }
    "/identity-providers" {
        GET Auditor identity_providers::list,
        POST Admin identity_providers::register,
    }
    "/identity-providers/{name}" {
        GET Auditor identity_providers::show,
        PUT Admin identity_providers::revise,
    }
    "/identity-providers/{name}/retire" { POST Admin identity_providers::retire }
    "/sessions" {
        GET MinterOrAuditor sessions::list,
        POST Minter sessions::mint,
    }
    "/sessions/{id}" { GET MinterOrAuditor sessions::show }
    "/sessions/{id}/timeline" { GET MinterOrAuditor sessions::timeline }
    "/sessions/{id}/revoke" { POST Minter sessions::revoke }
    "/revocations" { POST Minter revocations::revoke_all }
    "/webhooks" {
        GET Admin webhooks::list,
        POST Admin webhooks::create,
    }
    "/webhooks/{id}" {
        GET Admin webhooks::show,
        PUT Admin webhooks::revise,
    }
    "/webhooks/{id}/rotate-secret" { POST Admin webhooks::rotate_secret }
    "/webhooks/{id}/retire" { POST Admin webhooks::retire }
    "/webhooks/{id}/test" { POST Admin webhooks::test }
    "/webhooks/{id}/deliveries" { GET Admin webhooks::deliveries }
    "/webhooks/{id}/deliveries/{delivery}/redeliver" { POST Admin webhooks::redeliver }
    "/api-keys" {
        GET Auditor api_keys::list,
        POST Admin api_keys::create,
    }
    "/api-keys/{id}" { GET Auditor api_keys::show }
    "/api-keys/{id}/revoke" { POST Admin api_keys::revoke }
    "/purpose-keys" { GET Auditor purpose_keys::list }
    "/purpose-keys/{purpose}/rotate" { POST Admin purpose_keys::rotate }
    "/introspect" { POST Minter introspect::introspect }
    "/audit/tool-calls" { GET Auditor audit::tool_calls }
    "/audit/tool-calls/{call_id}" { GET Auditor audit::tool_call }
    "/audit/acts" { GET Auditor audit::acts }
}

/// All of the table, behind the authentication.
pub(super) fn configure(config: &mut web::ServiceConfig) {
    let scope = registered(web::scope(PREFIX)).default_service(web::to(super::not_found));
    config.service(scope.wrap(from_fn(once)).wrap(from_fn(authenticate)));
}

/// What the route that a request is for needs; nothing when there is no such route.
pub(super) fn needs(request: &ServiceRequest) -> Option<Needs> {
    let pattern = request.match_pattern()?;
    methods(&pattern).iter().find(|route| route.method == request.method().as_str()).map(|route| route.needs)
}

fn methods(pattern: &str) -> &'static [Route] {
    let path = pattern.strip_prefix(PREFIX).unwrap_or_default();
    TABLE.iter().find(|(known, _)| *known == path).map_or(&[], |(_, methods)| methods)
}

async fn wrong_method(request: HttpRequest) -> HttpResponse {
    let allowed: Vec<_> = request
        .match_pattern()
        .map(|pattern| methods(&pattern).iter().map(|route| route.method).collect())
        .unwrap_or_default();
    let detail =
        format!("{} does not take {}: use {}", request.path(), request.method(), allowed.join(" or "));
    Problem::new(Code::MethodNotAllowed, detail).allowing(&allowed).error_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_an_administrator_changes_what_everybody_works_with() {
        for (path, methods) in TABLE {
            for Route { method, needs, .. } in *methods {
                assert!(needs.allows(Role::Admin));
                let about_sessions =
                    ["/sessions", "/revocations", "/introspect"].iter().any(|start| path.starts_with(start));
                let of_admins = ["/credential", "/block", "/unblock"].iter().any(|end| path.ends_with(end));
                let about_users = path.contains("/users/{user}") && !of_admins;
                assert_eq!(needs.allows(Role::Minter), about_sessions || about_users, "{method} {path}");
                // Where messages go, and what has become of them, is no part of the audit trail.
                let reads = *method == "GET" && !path.starts_with("/webhooks");
                assert_eq!(needs.allows(Role::Auditor), reads, "{method} {path}");
            }
        }
    }
}
