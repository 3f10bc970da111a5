//! Files that say what is to be there: applied, applied again, exported, and applied elsewhere.

use proctor_test_upstream::{Options, Upstream};
use serde_json::{Value, json};

use super::{Operator, err};
use crate::world::World;

const SECRET: &str = "s3cret-in-the-environment";
const FROM_ENV: (&str, &str) = ("NOTES_SECRET", SECRET);

fn upstream() -> Upstream {
    let secret = Some(("x-api-key".to_owned(), SECRET.to_owned()));
    Upstream::start(Options { secret, ..Options::default() })
}

fn connections(url: &str) -> String {
    format!(
        "connections:\n- name: notes\n  transport: {{type: http, url: '{url}'}}\n  private_network: true\n  \
         drift: narrowing\n  auth: {{type: header, name: X-Api-Key, value: {{from_env: NOTES_SECRET}}}}\n"
    )
}

const SERVERS: &str = "\
virtual_servers:
- name: desk
  description: Reads
  tools:
  - {connection: notes, tool: echo}
  - {connection: notes, tool: read_thing, name: look, fixed_arguments: {id: 1}}
- name: lab
  instructions: Be careful.
  limits: {calls_in_flight_max: 5}
  session_limits: {calls_per_minute_max: 60}
  capture: digest
  tools: []
";

impl Operator<'_> {
    #[track_caller]
    fn applies(&self, more: &[&str]) -> String {
        let output = self.run_with(&[&["apply", "-f", "here"], more].concat(), &[FROM_ENV]);
        assert!(output.status.success(), "{}", err(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    fn manifest(&self, server: &str) -> Value {
        let mut manifest = self.json(&["server", "manifest", server]);
        manifest["version"].take();
        manifest
    }
}

#[test]
fn what_files_say_is_applied_once_and_a_second_time_changes_nothing() {
    let (world, upstream) = (World::start(), upstream());
    let operator = Operator { world: &world };
    std::fs::create_dir_all(world.data_dir().join("here/servers")).unwrap();
    operator.file("here/connections.yaml", &connections(&upstream.url()));
    operator.file("here/servers/all.yaml", SERVERS);

    let plan = operator.applies(&["--dry-run"]);
    assert_eq!(
        plan,
        "connection notes would be made\nvirtual server desk would be made\nvirtual server lab would be made\n"
    );
    assert_eq!(operator.json(&["connection", "list"]), json!([]), "a dry run changes nothing");
    assert!(operator.applies(&[]).contains("virtual server desk was made"));
    assert!(operator.applies(&[]).contains("nothing is to be done"));
    assert_eq!(operator.json(&["server", "show", "desk"])["version"], 1);
    let acts = operator.json(&["audit", "acts", "--object-kind", "connection"]).as_array().unwrap().len();
    assert!(operator.applies(&["--secrets"]).contains("its secrets are sent anew"));
    assert!(
        operator.json(&["audit", "acts", "--object-kind", "connection"]).as_array().unwrap().len() > acts
    );

    let revised = SERVERS.replace("Reads", "Reads notes").replace("tool: echo}", "tool: big}");
    operator.file("here/servers/all.yaml", &revised);
    let expected = "virtual server desk would be changed:\n  description: \"Reads\" becomes \"Reads notes\"\n  \
                    tools: notes/big can be seen\n  tools: notes/echo can be seen no more\n";
    assert_eq!(operator.applies(&["--dry-run"]), expected);
    assert_eq!(operator.applies(&[]), expected.replace("would be", "was"));
    assert_eq!(operator.json(&["server", "show", "desk"])["version"], 2);

    // Only what is no secret has changed, so none is needed.
    let shared =
        connections(&upstream.url()).replace("  private_network", "  shared: true\n  private_network");
    operator.file("here/connections.yaml", &shared);
    let changed = operator.run(&["apply", "-f", "here"]);
    assert!(changed.status.success(), "{}", err(&changed));
    assert_eq!(operator.json(&["connection", "show", "notes"])["shared"], true);
    assert!(operator.says(&["connection", "test", "notes"]).contains("answers"), "the secret is still there");
}

#[test]
fn what_stands_in_no_file_is_retired_only_where_somebody_agrees() {
    let (world, upstream) = (World::start(), upstream());
    let operator = Operator { world: &world };
    std::fs::create_dir_all(world.data_dir().join("here")).unwrap();
    operator.file("here/all.yaml", &format!("{}{SERVERS}", connections(&upstream.url())));
    operator.applies(&[]);
    operator.file("here/all.yaml", &connections(&upstream.url()));
    assert!(operator.applies(&[]).contains("nothing is to be done"), "nothing goes without --prune");
    let plan = operator.applies(&["--prune", "--dry-run"]);
    assert_eq!(plan, "virtual server desk would be retired\nvirtual server lab would be retired\n");
    let refused = operator.run(&["apply", "-f", "here", "--prune"]);
    let why = err(&refused);
    assert!(
        !refused.status.success() && why.contains("virtual server lab") && why.contains("--yes"),
        "{why}"
    );
    assert_eq!(operator.json(&["server", "show", "lab"])["state"], "defined");
    assert!(operator.applies(&["--prune", "--yes"]).contains("virtual server lab was retired"));
    assert!(operator.applies(&["--prune", "--yes"]).contains("nothing is to be done"));

    operator.file("here/all.yaml", SERVERS);
    let refused = operator.fails(&["apply", "-f", "here"], 1);
    assert!(refused.contains("desk is retired") && refused.contains("choose another name"), "{refused}");
}

#[test]
fn what_is_exported_makes_the_same_manifests_elsewhere_and_holds_no_secret() {
    let (world, upstream) = (World::start(), upstream());
    let operator = Operator { world: &world };
    std::fs::create_dir_all(world.data_dir().join("here")).unwrap();
    operator.file("here/all.yaml", &format!("{}{SERVERS}", connections(&upstream.url())));
    operator.applies(&[]);
    let exported = operator.says(&["export"]);
    assert!(!exported.contains(SECRET) && exported.contains("from_env: NOTES_SECRET"), "{exported}");
    assert!(exported.contains("drift: narrowing"), "{exported}");
    operator.file("here/all.yaml", &exported);
    assert!(operator.applies(&["--prune", "--yes"]).contains("nothing is to be done"));

    let empty = World::start();
    let elsewhere = Operator { world: &empty };
    std::fs::create_dir_all(empty.data_dir().join("here")).unwrap();
    elsewhere.file("here/all.yaml", &exported);
    elsewhere.applies(&[]);
    for server in ["desk", "lab"] {
        assert_eq!(elsewhere.manifest(server), operator.manifest(server));
    }
    assert!(elsewhere.says(&["connection", "test", "notes"]).contains("answers"));
}

#[test]
fn a_broken_file_names_line_and_field_and_changes_nothing() {
    let (world, upstream) = (World::start(), upstream());
    let operator = Operator { world: &world };
    std::fs::create_dir_all(world.data_dir().join("here")).unwrap();
    let broken =
        format!("{}{}", connections(&upstream.url()), SERVERS.replace("capture: digest", "capture: some"));
    operator.file("here/all.yaml", &broken);
    let refused = operator.fails(&["apply", "-f", "here"], 1);
    let line = broken.lines().position(|line| line.contains("capture")).unwrap() + 1;
    assert!(refused.contains("all.yaml") && refused.contains(&line.to_string()), "{refused}");
    assert!(refused.contains("some") && refused.contains("digest"), "{refused}");
    assert_eq!(operator.json(&["connection", "list"]), json!([]));

    operator.file("here/all.yaml", &connections(&upstream.url()));
    let refused = operator.fails(&["apply", "-f", "here"], 1);
    assert!(
        refused.contains("NOTES_SECRET") && refused.contains("connection notes was not changed"),
        "{refused}"
    );
    let schema: Value = serde_json::from_str(&operator.says(&["schema"])).unwrap();
    assert!(schema["properties"]["virtual_servers"].is_object(), "{schema}");
}
