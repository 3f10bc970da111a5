//! What a manifest promises.

use proptest::prelude::*;
use serde_json::json;

use super::*;

/// Formatting, order, unknown fields and numbers that a parser would rewrite.
const SEARCH: &str = r#"{ "name":"search",  "x-unknown":{"n":1.50,"big":123456789012345678901234567890},
 "title":"Search","description":"Searches.","inputSchema":{"type":"object",
 "properties":{"query":{"type":"string"},"folder":{"type":"string","x-mcp-header":"Folder"},
 "limit":{"type":"integer","maximum":1e2}},"required":["query","folder"],"$schema":"x"},
 "annotations":{"readOnlyHint":true} }"#;

fn raw_text(text: &str) -> Box<RawValue> {
    RawValue::from_string(text.to_owned()).unwrap()
}

fn exposed(connection: &str, tool: &str) -> ExposedTool {
    serde_json::from_value(json!({"connection": connection, "tool": tool})).unwrap()
}

fn manifest_of(tools: Vec<ExposedTool>, text: &str) -> Result<Manifest, ManifestError> {
    let text = raw_text(text);
    let definition = Definition { tools, ..Definition::default() };
    definition.check().unwrap();
    Manifest::of(&definition, |_, _| {
        Some(CatalogDefinition { definition: &text, digest: "pinned", read_only: true })
    })
}

fn only(tool: ExposedTool, text: &str) -> Arc<ManifestTool> {
    Arc::clone(&manifest_of(vec![tool], text).unwrap().tools[0])
}

#[test]
fn a_tool_that_is_not_changed_is_served_byte_for_byte() {
    let tool = only(exposed("mail", "search"), SEARCH);
    assert_eq!(tool.definition.get(), SEARCH);
    assert_eq!(tool.served_digest, "pinned");
    assert_eq!(tool.definition_digest, "pinned");
    assert!(tool.read_only);
}

#[test]
fn a_changed_tool_keeps_everything_else_in_its_bytes_and_its_place() {
    let tool = only(
        ExposedTool {
            name: Some("find_mail".to_owned()),
            description: Some("Finds \"mail\".".to_owned()),
            fixed_arguments: json!({"folder": "inbox"}).as_object().cloned(),
            ..exposed("mail", "search")
        },
        SEARCH,
    );
    assert_eq!(
        tool.definition.get(),
        concat!(
            r#"{"name":"find_mail","x-unknown":{"n":1.50,"big":123456789012345678901234567890},"#,
            r#""title":"Search","description":"Finds \"mail\".","inputSchema":{"type":"object","#,
            r#""properties":{"query":{"type":"string"},"limit":{"type":"integer","maximum":1e2}},"#,
            r#""required":["query"],"$schema":"x"},"annotations":{"readOnlyHint":true}}"#,
        )
    );
    assert_eq!(tool.served_digest, hex::encode(Sha256::digest(tool.definition.get())));
    assert_eq!(tool.definition_digest, "pinned");
    assert_eq!((tool.name.as_str(), tool.tool.as_str()), ("find_mail", "search"));
}

#[test]
fn a_description_is_added_where_the_upstream_gave_none() {
    let tool = only(
        ExposedTool { description: Some("New.".to_owned()), ..exposed("mail", "search") },
        r#"{"name":"search"}"#,
    );
    assert_eq!(tool.definition.get(), r#"{"name":"search","description":"New."}"#);
}

#[test]
fn required_goes_when_only_fixed_arguments_were_required() {
    let tool = only(
        ExposedTool { fixed_arguments: json!({"a": 1}).as_object().cloned(), ..exposed("mail", "search") },
        r#"{"name":"search","inputSchema":{"properties":{"a":{}},"required":["a"]}}"#,
    );
    assert_eq!(tool.definition.get(), r#"{"name":"search","inputSchema":{"properties":{}}}"#);
}

#[test]
fn a_name_is_prefixed_only_where_two_connections_clash() {
    let tools = vec![exposed("mail", "search"), exposed("drive", "search"), exposed("mail", "send")];
    let manifest = manifest_of(tools, r#"{"name":"search"}"#).unwrap();
    let names: Vec<_> = manifest.tools.iter().map(|tool| tool.name.as_str()).collect();
    assert_eq!(names, ["mail_search", "drive_search", "send"]);
    assert_eq!(manifest.tool("drive_search").unwrap().definition.get(), r#"{"name":"drive_search"}"#);
    assert!(manifest.tool("search").is_none());
}

#[test]
fn a_tool_that_its_connection_does_not_offer_is_left_out() {
    let definition = Definition { tools: vec![exposed("mail", "search")], ..Definition::default() };
    let manifest = Manifest::of(&definition, |_, _| None).unwrap();
    assert!(manifest.tools.is_empty());
}

#[test]
fn a_fixed_argument_is_repeated_to_the_upstream_but_not_by_the_agent() {
    let folder = HeaderParam { header: "Folder".to_owned(), path: vec!["folder".to_owned()] };
    let plain = only(exposed("mail", "search"), SEARCH);
    assert_eq!(plain.header_params, std::slice::from_ref(&folder));
    let fixed = only(
        ExposedTool {
            fixed_arguments: json!({"folder": "inbox"}).as_object().cloned(),
            ..exposed("mail", "search")
        },
        SEARCH,
    );
    assert_eq!(fixed.header_params, []);
    assert_eq!(fixed.upstream_header_params, [folder]);
}

#[test]
fn header_annotations_count_along_properties_only_and_when_well_formed() {
    let tool = only(
        exposed("mail", "search"),
        r#"{"name":"search","inputSchema":{"properties":{
            "outer":{"properties":{"inner":{"x-mcp-header":"Inner"}}},
            "list":{"items":{"x-mcp-header":"Item"}},
            "empty":{"x-mcp-header":""},"spaced":{"x-mcp-header":"a b"},"typed":{"x-mcp-header":1}}}}"#,
    );
    assert_eq!(
        tool.header_params,
        [HeaderParam { header: "Inner".to_owned(), path: vec!["outer".to_owned(), "inner".to_owned()] }]
    );
}

#[test]
fn a_schema_of_any_depth_is_read_without_overflowing_the_stack() {
    let deep = 20_000;
    let text = format!(
        r#"{{"name":"search","inputSchema":{}{{}}{}}}"#,
        r#"{"properties":{"p":"#.repeat(deep),
        "}}".repeat(deep)
    );
    assert_eq!(only(exposed("mail", "search"), &text).header_params, []);
}

#[test]
fn a_definition_that_cannot_be_changed_is_named() {
    let renamed = || {
        vec![ExposedTool {
            name: Some("find".to_owned()),
            fixed_arguments: json!({"a": 1}).as_object().cloned(),
            ..exposed("mail", "search")
        }]
    };
    for (text, wrong) in [
        ("[]", "its definition is not an object"),
        (r#"{"name":"a","name":"b"}"#, r#"its definition has the key "name" twice"#),
        (r#"{"inputSchema":7}"#, "its inputSchema is not an object"),
        (r#"{"inputSchema":{"required":"a"}}"#, "its inputSchema.required is not a list of names"),
    ] {
        let error = manifest_of(renamed(), text).unwrap_err();
        assert_eq!(error.wrong, wrong);
        assert!(error.to_string().contains("refresh the catalog"));
    }
}

#[test]
fn the_digest_depends_on_what_is_served_and_its_order_alone() {
    let both = vec![exposed("mail", "search"), exposed("mail", "send")];
    let manifest = manifest_of(both.clone(), SEARCH).unwrap();
    assert_eq!(manifest.digest, manifest_of(both, SEARCH).unwrap().digest);
    assert_eq!(manifest.digest, manifest.narrowed(|_| true).digest);

    let narrowed = manifest.narrowed(|tool| tool.name == "send");
    assert_eq!(narrowed.digest, manifest_of(vec![exposed("mail", "send")], SEARCH).unwrap().digest);
    assert_ne!(narrowed.digest, manifest.digest);
    assert_eq!(manifest.narrowed(|_| false).digest, hex::encode(Sha256::digest(b"")));
}

fn merged(arguments: Option<&str>, fixed: Value) -> Result<Option<String>, ArgumentsError> {
    let arguments = arguments.map(raw_text);
    merge_arguments(arguments.as_deref(), fixed.as_object().unwrap())
        .map(|merged| merged.map(|merged| merged.get().to_owned()))
}

#[test]
fn fixed_arguments_follow_the_callers_whose_values_keep_their_bytes() {
    assert_eq!(
        merged(Some(r#"{ "q" : 1.50 }"#), json!({"folder": "inbox", "n": 3})),
        Ok(Some(r#"{"q":1.50,"folder":"inbox","n":3}"#.to_owned()))
    );
    assert_eq!(merged(None, json!({"folder": "inbox"})), Ok(Some(r#"{"folder":"inbox"}"#.to_owned())));
}

#[test]
fn a_caller_who_sets_a_fixed_argument_is_refused_however_it_is_spelt() {
    for arguments in [r#"{"folder":"sent"}"#, r#"{"a":1,"f\u006flder":"sent"}"#] {
        assert_eq!(
            merged(Some(arguments), json!({"folder": "inbox"})),
            Err(ArgumentsError::Fixed { names: vec!["folder".to_owned()] })
        );
    }
}

#[test]
fn an_argument_given_twice_is_refused_only_where_arguments_are_fixed() {
    let twice = r#"{"a":1,"a":2}"#;
    assert_eq!(merged(Some(twice), json!({})), Ok(Some(twice.to_owned())));
    assert_eq!(merged(Some(twice), json!({"b": 1})), Err(ArgumentsError::Duplicate { name: "a".to_owned() }));
}

#[test]
fn arguments_that_are_no_object_are_refused_where_arguments_are_fixed() {
    for arguments in ["null", "[]", "1", "\"{}\""] {
        assert_eq!(merged(Some(arguments), json!({"b": 1})), Err(ArgumentsError::NotAnObject));
    }
}

fn json_value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        ".{0,8}".prop_map(Value::from),
    ];
    leaf.prop_recursive(3, 16, 4, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
            prop::collection::vec((".{0,4}", inner), 0..4)
                .prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn json_object(key: &'static str) -> impl Strategy<Value = Map<String, Value>> {
    prop::collection::vec((key, json_value()), 0..5).prop_map(|entries| entries.into_iter().collect())
}

proptest! {
    #[test]
    fn without_fixed_arguments_the_very_same_bytes_are_sent(value in json_value()) {
        let text = format!(" {value:#} ");
        prop_assert_eq!(merged(Some(text.trim()), json!({})).unwrap().unwrap(), text.trim());
    }

    #[test]
    fn merging_is_the_callers_object_with_the_fixed_arguments_set(
        arguments in json_object("[a-c]{1,2}"), fixed in json_object("[c-e]{1,2}"),
    ) {
        let text = Value::Object(arguments.clone()).to_string();
        let clash: Vec<_> = arguments.keys().filter(|k| fixed.contains_key(*k)).cloned().collect();
        let result = merged(Some(&text), Value::Object(fixed.clone()));
        if clash.is_empty() {
            let mut expected = arguments;
            expected.extend(fixed);
            let sent: Value = serde_json::from_str(&result.unwrap().unwrap()).unwrap();
            prop_assert_eq!(sent, Value::Object(expected));
        } else {
            prop_assert_eq!(result, Err(ArgumentsError::Fixed { names: clash }));
        }
    }

    #[test]
    fn editing_changes_nothing_but_what_was_asked(
        mut definition in json_object("[a-z]{1,8}"), properties in json_object("[a-c]{1,2}"),
        fixed in json_object("[a-c]{1,2}"), description in ".{0,20}",
    ) {
        definition.insert("name".to_owned(), json!("search"));
        definition.insert("inputSchema".to_owned(), json!({
            "type": "object", "properties": properties,
            "required": properties.keys().collect::<Vec<_>>(), "allOf": [{"required": ["a"]}],
        }));
        let tool = only(
            ExposedTool {
                name: Some("find".to_owned()),
                description: Some(description.clone()),
                fixed_arguments: Some(fixed.clone()),
                ..exposed("mail", "search")
            },
            &Value::Object(definition.clone()).to_string(),
        );
        let served: Value = serde_json::from_str(tool.definition.get()).unwrap();

        let mut expected = definition;
        expected.insert("name".to_owned(), json!("find"));
        expected.insert("description".to_owned(), json!(description));
        let left: Map<_, _> =
            properties.into_iter().filter(|(name, _)| !fixed.contains_key(name)).collect();
        let schema = expected["inputSchema"].as_object_mut().unwrap();
        if left.is_empty() && !fixed.is_empty() {
            schema.shift_remove("required");
        } else {
            schema["required"] = json!(left.keys().collect::<Vec<_>>());
        }
        schema["properties"] = Value::Object(left);
        prop_assert_eq!(served.to_string(), Value::Object(expected).to_string());
    }
}
