//! The names by which an agent knows the tools of a virtual server.

use std::collections::BTreeSet;

use proctor_domain::virtual_server::{Definition, ExposedTool, InvalidDefinition};
use proptest::prelude::*;

use crate::scene::tool;

fn called(tool: ExposedTool, name: &str) -> ExposedTool {
    ExposedTool { name: Some(name.to_owned()), ..tool }
}

fn names(tools: Vec<ExposedTool>) -> Vec<String> {
    Definition { tools, ..Definition::default() }.tool_names()
}

fn check(tools: Vec<ExposedTool>) -> Result<(), InvalidDefinition> {
    Definition { tools, ..Definition::default() }.check()
}

#[test]
fn a_tool_keeps_its_name_where_no_other_has_it() {
    assert_eq!(names(vec![tool("gmail", "search"), tool("files", "read")]), ["search", "read"]);
}

#[test]
fn two_connections_that_clash_lead_their_tools_names() {
    let tools = vec![tool("gmail", "search"), tool("files", "read"), tool("files", "search")];
    assert_eq!(names(tools), ["gmail_search", "read", "files_search"]);
}

#[test]
fn a_name_that_the_administrator_set_is_kept_and_the_other_gives_way() {
    let tools = vec![called(tool("gmail", "find"), "search"), tool("files", "search")];
    assert_eq!(names(tools), ["search", "files_search"]);
}

#[test]
fn a_tool_that_was_given_another_name_clashes_no_more() {
    let tools = vec![called(tool("gmail", "search"), "mail"), tool("files", "search")];
    assert_eq!(names(tools), ["mail", "search"]);
}

#[test]
fn names_that_clash_in_spite_of_their_connections_are_refused() {
    let clash = |name: &str| Err(InvalidDefinition::NameClash(name.to_owned()));
    assert_eq!(check(vec![tool("gmail", "search"), tool("gmail", "search")]), clash("search"));
    let tools =
        vec![tool("gmail", "search"), tool("files", "search"), called(tool("files", "x"), "gmail_search")];
    assert_eq!(check(tools), clash("gmail_search"));
    let tools = vec![tool("a", "b_c"), tool("x", "b_c"), tool("a_b", "c"), tool("y", "c")];
    assert_eq!(check(tools), clash("a_b_c"));
}

fn definitions() -> impl Strategy<Value = Definition> {
    // Few words, so that clashes of every kind are frequent.
    let word = || prop::sample::select(vec!["a", "b", "a_b", "c", "b_c", "a_c"]);
    let exposed = (word(), word(), prop::option::weighted(0.3, word()))
        .prop_map(|(c, t, n)| ExposedTool { name: n.map(str::to_owned), ..tool(c, t) });
    prop::collection::vec(exposed, 0..7).prop_map(|tools| Definition { tools, ..Definition::default() })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn names_are_unique_exactly_when_the_check_passes(definition in definitions()) {
        let names = definition.tool_names();
        let unique = names.iter().collect::<BTreeSet<_>>().len() == names.len();
        prop_assert_eq!(definition.check().is_ok(), unique);
    }

    #[test]
    fn a_tool_without_a_set_name_has_its_own_or_the_one_led_by_its_connection(definition in definitions()) {
        for (rule, resolved) in definition.tools.iter().zip(definition.tool_names()) {
            let led = format!("{}_{}", rule.connection, rule.tool);
            match &rule.name {
                Some(set) => prop_assert_eq!(&resolved, set),
                None => prop_assert!(resolved == rule.tool || resolved == led),
            }
        }
    }

    #[test]
    fn a_name_is_led_by_its_connection_only_where_it_would_clash(definition in definitions()) {
        for (rule, resolved) in definition.tools.iter().zip(definition.tool_names()) {
            let clashes = definition.tools.iter().any(|other| match &other.name {
                Some(set) => *set == rule.tool,
                None => other.tool == rule.tool && other.connection != rule.connection,
            });
            if rule.name.is_none() {
                prop_assert_eq!(resolved != rule.tool, clashes);
            }
        }
    }

    #[test]
    fn names_do_not_depend_on_the_order_of_the_tools(definition in definitions(), turn in 0..7_usize) {
        let mut turned = definition.clone();
        let turn = turn % definition.tools.len().max(1);
        turned.tools.rotate_left(turn);
        let mut names = definition.tool_names();
        names.rotate_left(turn);
        prop_assert_eq!(turned.tool_names(), names);
    }
}

#[test]
fn a_tool_name_has_1_to_128_letters_digits_underscores_hyphens_and_dots() {
    let set = |text: &str| check(vec![called(tool("gmail", "search"), text)]);
    for good in ["a", "Search.Mail_2-x", &"x".repeat(128)] {
        assert_eq!(set(good), Ok(()), "{good}");
    }
    for bad in ["", "a b", "ä", "a/b", "a\u{7}", &"x".repeat(129)] {
        assert!(matches!(set(bad), Err(InvalidDefinition::ToolName(_))), "{bad:?}");
    }
    assert_eq!(set("\u{7}"), Err(InvalidDefinition::ToolName("\\u{7}".to_owned())), "shown escaped");
}

#[test]
fn an_upstream_name_that_the_protocol_does_not_allow_needs_another_one() {
    let odd = tool("files", "read file");
    assert_eq!(check(vec![odd.clone()]), Err(InvalidDefinition::ToolName("read file".to_owned())));
    assert_eq!(check(vec![called(odd, "read_file")]), Ok(()));
}
