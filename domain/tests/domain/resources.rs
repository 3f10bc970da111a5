//! Which resources a virtual server exposes, and how its agents address them.

use proctor_domain::virtual_server::{
    Definition, ExposedResource, ExposedResourceTemplate, InvalidDefinition, InvalidTemplate, Resources,
    UriTemplate,
};
use proptest::prelude::*;

use crate::scene::name;

fn resource(connection: &str, uri: &str) -> ExposedResource {
    ExposedResource { connection: name(connection), uri: uri.to_owned() }
}

fn template(connection: &str, uri_template: &str) -> ExposedResourceTemplate {
    ExposedResourceTemplate { connection: name(connection), uri_template: uri_template.to_owned() }
}

fn exposing(resources: &[(&str, &str)], templates: &[(&str, &str)]) -> Definition {
    Definition {
        resources: resources.iter().map(|(connection, uri)| resource(connection, uri)).collect(),
        resource_templates: templates.iter().map(|(connection, it)| template(connection, it)).collect(),
        ..Definition::default()
    }
}

fn matches(template: &str, uri: &str) -> bool {
    UriTemplate::parse(template).unwrap().matches(uri)
}

#[test]
fn a_uri_matches_the_template_that_it_comes_from() {
    for (template, uris) in [
        ("docs://handbook", &["docs://handbook"][..]),
        ("test://template/{id}/data", &["test://template/123/data", "test://template/a%20b/data"]),
        ("docs://{+path}", &["docs://a", "docs://a/b/c.md", "docs://a?b=c#d"]),
        ("docs://x{#part}", &["docs://x#a/b"]),
        ("docs://x{/a,b}", &["docs://x/1", "docs://x/1/2"]),
        ("docs://x{/all*}", &["docs://x/1/2/3/4"]),
        ("docs://x{.ext}", &["docs://x.md"]),
        ("docs://x{;a,b}", &["docs://x", "docs://x;a=1", "docs://x;b=1;a=2"]),
        ("docs://x{?a,b}", &["docs://x", "docs://x?a=1", "docs://x?b=2&a=", "docs://x?a=1&b=2"]),
        ("docs://x?y=1{&a}", &["docs://x?y=1", "docs://x?y=1&a=2"]),
        ("docs://{list*}", &["docs://1,2,3"]),
        ("docs://{a:3}/{b}", &["docs://abc/d"]),
        ("docs://{name}", &["docs://größe"]),
    ] {
        for uri in uris {
            assert!(matches(template, uri), "{template} {uri}");
        }
    }
}

#[test]
fn a_uri_that_leaves_the_template_does_not_match() {
    for (template, uris) in [
        ("docs://handbook", &["docs://handbook/", "docs://handboo", "Docs://handbook"][..]),
        ("test://template/{id}/data", &["test://template//data", "test://template/1/2/data"]),
        ("docs://x{/a,b}", &["docs://x", "docs://x/1/2/3", "docs://x//"]),
        ("docs://x{?a,b}", &["docs://x?c=1", "docs://x?a=1&c=2", "docs://x?a=1&b=2&a=3", "docs://x?"]),
        ("docs://x{.ext}", &["docs://x", "docs://x."]),
        ("docs://{id}", &["docs://", "docs://a?b", "docs://a b", "docs://a\n"]),
    ] {
        for uri in uris {
            assert!(!matches(template, uri), "{template} {uri}");
        }
    }
}

#[test]
fn a_uri_that_a_server_could_resolve_to_somewhere_else_matches_nothing() {
    for way in
        ["../secret", "a/../../secret", "..", "%2e%2e/secret", ".%2E%2fsecret", "a/%252e%252e/b", "..\\x"]
    {
        assert!(!matches("file:///docs/{+path}", &format!("file:///docs/{way}")), "{way}");
    }
    assert!(!matches("file:///docs/{name}", "file:///docs/..%2Fsecret"));
    assert!(matches("file:///docs/{+path}", "file:///docs/a..b/c...d"));
}

#[test]
fn what_is_no_template_is_refused_with_what_is_wrong() {
    let refused = |text: &str| UriTemplate::parse(text).unwrap_err();
    for text in ["docs://{", "docs://}", "docs://{a", "docs://a}{b"] {
        assert_eq!(refused(text), InvalidTemplate::Braces, "{text}");
    }
    for text in ["docs://{}", "docs://{a b}", "docs://{=a}", "docs://{a,}", "docs://{a:x}", "docs://{+}"] {
        assert!(matches!(refused(text), InvalidTemplate::Expression(_) | InvalidTemplate::Text), "{text}");
    }
    for text in ["{+all}", "handbook", "{scheme}://x", "://x", "1a://x"] {
        assert_eq!(refused(text), InvalidTemplate::Scheme, "{text}");
    }
    assert_eq!(refused(""), InvalidTemplate::Text);
    assert_eq!(refused(&format!("docs://{}", "a".repeat(2_048))), InvalidTemplate::Text);
}

#[test]
fn a_definition_with_a_uri_that_is_none_or_the_same_rule_twice_is_refused() {
    let check =
        |resources: &[(&str, &str)], templates: &[(&str, &str)]| exposing(resources, templates).check();
    assert_eq!(check(&[("docs", "handbook")], &[]), Err(InvalidDefinition::Uri("handbook".to_owned())));
    assert!(matches!(check(&[], &[("docs", "docs://{")]), Err(InvalidDefinition::Template { .. })));
    assert!(matches!(check(&[("a", "x:1"), ("a", "x:1")], &[]), Err(InvalidDefinition::SameResource(_))));
    assert!(matches!(check(&[], &[("a", "x:{i}"), ("a", "x:{i}")]), Err(InvalidDefinition::SameResource(_))));
    assert_eq!(check(&[("a", "x:1"), ("b", "x:1")], &[("a", "y:{i}"), ("b", "y:{i}")]), Ok(()));
}

#[test]
fn a_resource_is_found_where_its_uri_or_a_template_exposes_it_and_nowhere_else() {
    let resources = Resources::of(&exposing(&[("docs", "docs://handbook")], &[("mail", "mail://{id}")]));
    let found = resources.find("docs://handbook").unwrap();
    assert_eq!((found.connection.as_str(), found.exposed_by), ("docs", "docs://handbook"));
    let found = resources.find("mail://7").unwrap();
    assert_eq!((found.connection.as_str(), found.uri, found.exposed_by), ("mail", "mail://7", "mail://{id}"));
    assert!(found.by_template);
    for other in ["docs://other", "mail://7/8", "proctor:docs/docs://handbook", ""] {
        assert_eq!(resources.find(other), None, "{other}");
    }
    assert_eq!(resources.find_template("mail://{id}"), Some((&name("mail"), "mail://{id}")));
    assert_eq!(resources.find_template("mail://7"), None);
}

#[test]
fn the_uri_itself_counts_before_a_template_that_covers_it() {
    let resources = Resources::of(&exposing(&[("docs", "docs://a")], &[("docs", "docs://{id}")]));
    assert!(!resources.find("docs://a").unwrap().by_template);
    assert!(resources.find("docs://b").unwrap().by_template);
}

#[test]
fn uris_of_two_connections_that_clash_are_told_apart() {
    let resources =
        Resources::of(&exposing(&[("a", "x://1"), ("b", "x://1"), ("c", "y://1")], &[("b", "z://{i}")]));
    assert_eq!(resources.find("x://1"), None, "it could be either's");
    for connection in ["a", "b"] {
        let shown = resources.shown_uri(&name(connection), "x://1").into_owned();
        assert_eq!(shown, format!("proctor:{connection}/x://1"));
        let found = resources.find(&shown).unwrap();
        assert_eq!((found.connection.as_str(), found.uri), (connection, "x://1"));
    }
    assert_eq!(resources.shown_template(&name("b"), "z://{i}"), "proctor:b/z://{i}");
    assert_eq!(resources.find_template("proctor:b/z://{i}"), Some((&name("b"), "z://{i}")));
    assert_eq!(resources.find("proctor:b/z://7").map(|found| found.uri), Some("z://7"));
    assert_eq!(resources.shown_uri(&name("c"), "y://1"), "y://1", "nobody else has it");
}

#[test]
fn a_link_that_its_own_connection_does_not_expose_does_not_lead_to_anothers_resource() {
    let resources = Resources::of(&exposing(&[("a", "x://1"), ("b", "y://1")], &[]));
    assert_eq!(resources.shown_uri(&name("b"), "x://1"), "proctor:b/x://1");
    assert_eq!(resources.find("proctor:b/x://1"), None);
    assert_eq!(resources.shown_uri(&name("b"), "other://1"), "other://1");
}

fn definitions() -> impl Strategy<Value = Definition> {
    // Few words, so that clashes of every kind are frequent.
    let connection = || prop::sample::select(vec!["a", "b", "c"]);
    let uri = prop::sample::select(vec!["x://1", "x://2", "x://1/2", "y://1"]);
    let template = prop::sample::select(vec!["x://{i}", "x://1{/i}", "y://{+i}", "x://{i}/{j}", "z://{i}"]);
    let resources = prop::collection::vec((connection(), uri), 0..4);
    let templates = prop::collection::vec((connection(), template), 0..4);
    (resources, templates).prop_map(|(resources, templates)| exposing(&resources, &templates))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    /// Whatever a connection exposes is found again by the URI that is shown for it, at that connection.
    #[test]
    fn what_is_shown_leads_back_to_where_it_came_from(definition in definitions()) {
        let resources = Resources::of(&definition);
        for uri in ["x://1", "x://2", "x://1/2", "y://1", "y://1/2", "z://1", "w://1"] {
            for connection in ["a", "b", "c"].map(name) {
                let shown = resources.shown_uri(&connection, uri).into_owned();
                let found = resources.find(&shown);
                match resources.covers(&connection, uri) {
                    true => {
                        let found = found.unwrap();
                        prop_assert_eq!((found.connection, found.uri), (&connection, uri));
                    }
                    false => prop_assert_eq!(found, None),
                }
            }
        }
    }

    #[test]
    fn matching_ends_whatever_the_uri(template in "[a-z]{1,3}:([/a-z{}+#.;?&,*]|\\{[a-z]\\}){0,12}", uri in ".{0,64}") {
        if let Ok(template) = UriTemplate::parse(&template) {
            let _either = template.matches(&uri);
        }
    }
}
