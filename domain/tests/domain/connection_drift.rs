//! Connection: what is observed of its upstream, what is held, and what brings it into force.

use std::collections::{BTreeMap, BTreeSet};

use proctor_domain::connection::{
    Catalog, Connection, ConnectionCommand as Command, ConnectionError, ConnectionEvent, Drift, Era, Feature,
    Narrowed, Observation, Offered, Pinned, Settings, Settled, Standing,
};
use proctor_domain::session::{Access, CallGrounds, Refusal, Session, Terms};
use proctor_domain::{By, Decider, Position};
use proptest::prelude::*;

use crate::scene::{NOW, by, call, call_grounds, given, opened, reason, settings, state, terms};

/// A definition's digest: the tool's name and how often it was changed.
fn tool(name: &str, variant: u32) -> (Feature, Pinned) {
    (name.into(), Pinned { digest: format!("{name} {variant}"), read_only: name == "search" })
}

fn catalog(tools: &[(&str, u32)]) -> Catalog {
    let tools = tools.iter().map(|(name, variant)| tool(name, *variant)).collect();
    Catalog::of(Era::Modern, "2026-07-28".to_owned(), tools)
}

fn system() -> By {
    By::Replica("rep_1".into())
}

fn registered(drift: Drift) -> ConnectionEvent {
    let settings = Settings { drift, ..settings() };
    ConnectionEvent::ConnectionRegistered { by: by(), settings, generation: 1 }
}

fn refreshed(tools: &[(&str, u32)]) -> ConnectionEvent {
    ConnectionEvent::CatalogRefreshed { by: by(), catalog: catalog(tools) }
}

/// A connection with this policy, and this in force.
fn in_force(drift: Drift, tools: &[(&str, u32)]) -> Vec<ConnectionEvent> {
    vec![registered(drift), refreshed(tools)]
}

fn observation(tools: &[(&str, u32)]) -> Observation {
    Observation { catalog: catalog(tools), complete: true, narrowed: Vec::new() }
}

fn seen(observation: Observation) -> Command {
    Command::ObserveCatalog { by: system(), observation, generation: 1, at: NOW }
}

fn observe(tools: &[(&str, u32)]) -> Command {
    seen(observation(tools))
}

fn offered(all: &[(&str, u32)], changed: &[(&str, u32)], new: &[(&str, u32)], gone: &[&str]) -> Offered {
    let of = |tools: &[(&str, u32)]| tools.iter().map(|(name, variant)| tool(name, *variant)).collect();
    Offered {
        era: Era::Modern,
        protocol_version: "2026-07-28".to_owned(),
        digest: catalog(all).digest,
        changed: of(changed),
        new: of(new),
        gone: gone.iter().map(|name| Feature::from(*name)).collect(),
    }
}

fn observed(offered: Offered) -> ConnectionEvent {
    ConnectionEvent::CatalogObserved { by: system(), offered }
}

fn approve(tools: Option<&[&str]>, digest: &str) -> Command {
    let tools = tools.map(|tools| tools.iter().map(|tool| Feature::from(*tool)).collect());
    Command::ApproveCatalog { by: by(), tools, digest: digest.to_owned() }
}

fn settled(changes: &[(&str, Option<u32>, Option<u32>)]) -> BTreeMap<Feature, Settled> {
    let change = |(name, from, to): &(&str, Option<u32>, Option<u32>)| {
        let from = from.map(|variant| tool(name, variant).1.digest);
        (Feature::from(*name), Settled { from, to: to.map(|variant| tool(name, variant).1) })
    };
    changes.iter().map(change).collect()
}

const BEFORE: [(&str, u32); 3] = [("draft", 1), ("search", 1), ("send", 1)];
/// `draft` is gone, `search` changed, `tag` new.
const AFTER: [(&str, u32); 3] = [("search", 2), ("send", 1), ("tag", 1)];

fn drifted() -> ConnectionEvent {
    observed(offered(&AFTER, &[("search", 2)], &[("tag", 1)], &["draft"]))
}

fn held() -> Vec<ConnectionEvent> {
    [in_force(Drift::Hold, &BEFORE), vec![drifted()]].concat()
}

#[test]
fn what_is_offered_otherwise_than_it_is_in_force_is_observed_once() {
    given::<Connection>(in_force(Drift::Hold, &BEFORE))
        .when(observe(&AFTER))
        .then_expect_events(vec![drifted()]);
    given::<Connection>(held()).when(observe(&AFTER)).then_expect_events(vec![]);
    given::<Connection>(in_force(Drift::Hold, &BEFORE)).when(observe(&BEFORE)).then_expect_events(vec![]);
}

#[test]
fn a_hold_ends_by_itself_when_what_is_in_force_is_offered_again() {
    given::<Connection>(held()).when(observe(&BEFORE)).then_expect_events(vec![observed(offered(
        &BEFORE,
        &[],
        &[],
        &[],
    ))]);
    let released = [held(), vec![observed(offered(&BEFORE, &[], &[], &[]))]].concat();
    let state = state::<Connection>((1..).zip(released));
    assert!(state.offered().is_none());
    assert!(state.feature(&"search".into()).is_some() && state.feature(&"draft".into()).is_some());
}

#[test]
fn a_look_that_saw_only_a_part_says_nothing_of_the_rest() {
    let part = |tools: &[(&str, u32)]| seen(Observation { complete: false, ..observation(tools) });
    given::<Connection>(in_force(Drift::Hold, &BEFORE)).when(part(&[("send", 1)])).then_expect_events(vec![]);
    let all = [("draft", 1), ("search", 2), ("send", 1)];
    given::<Connection>(in_force(Drift::Hold, &BEFORE))
        .when(part(&[("search", 2)]))
        .then_expect_events(vec![observed(offered(&all, &[("search", 2)], &[], &[]))]);
    given::<Connection>(held()).when(part(&[("send", 1)])).then_expect_events(vec![]);
}

#[test]
fn with_no_catalog_in_force_everything_is_new() {
    let all = [("search", 1)];
    let new = observed(offered(&all, &[], &all, &[]));
    given::<Connection>(vec![registered(Drift::Hold)])
        .when(observe(&all))
        .then_expect_events(vec![new.clone()]);
    let digest = catalog(&all).digest;
    let events = given::<Connection>(vec![registered(Drift::Hold), new.clone()]);
    let approved = ConnectionEvent::CatalogApproved {
        by: by(),
        offered: digest.clone(),
        tools: settled(&[("search", None, Some(1))]),
        catalog: digest.clone(),
    };
    events.when(approve(None, &digest)).then_expect_events(vec![approved.clone()]);
    let state = state::<Connection>((1..).zip([registered(Drift::Hold), new, approved]));
    assert_eq!(state.catalog().map(|known| &**known), Some(&catalog(&all)));
}

#[test]
fn what_was_seen_with_older_settings_or_of_no_connection_is_not_observed() {
    let anew = ConnectionEvent::ConnectionReconfigured { by: by(), settings: settings(), generation: 2 };
    given::<Connection>([in_force(Drift::Hold, &BEFORE), vec![anew]].concat())
        .when(observe(&AFTER))
        .then_expect_error(ConnectionError::Reconfigured);
    let retired = ConnectionEvent::ConnectionRetired { by: by(), reason: reason() };
    for command in [observe(&AFTER), approve(None, "")] {
        given::<Connection>(vec![]).when(command.clone()).then_expect_error(ConnectionError::Unknown);
        given::<Connection>([held(), vec![retired.clone()]].concat())
            .when(command)
            .then_expect_error(ConnectionError::Retired);
    }
}

#[test]
fn an_approval_says_from_which_definitions_to_which() {
    let digest = catalog(&AFTER).digest;
    let approved =
        |tools: &[(&str, Option<u32>, Option<u32>)], catalog: &Catalog| ConnectionEvent::CatalogApproved {
            by: by(),
            offered: digest.clone(),
            tools: settled(tools),
            catalog: catalog.digest.clone(),
        };
    let all = [("draft", Some(1), None), ("search", Some(1), Some(2)), ("tag", None, Some(1))];
    given::<Connection>(held())
        .when(approve(None, &digest))
        .then_expect_events(vec![approved(&all, &catalog(&AFTER))]);
    let one = catalog(&[("draft", 1), ("search", 2), ("send", 1)]);
    given::<Connection>(held())
        .when(approve(Some(&["search"]), &digest))
        .then_expect_events(vec![approved(&all[1..2], &one)]);

    let state = state::<Connection>((1..).zip([held(), vec![approved(&all[1..2], &one)]].concat()));
    assert_eq!(state.catalog().map(|catalog| &**catalog), Some(&one));
    assert_eq!(state.feature(&"search".into()).map(|tool| tool.digest.as_str()), Some("search 2"));
    assert!(
        state.feature(&"tag".into()).is_none() && state.feature(&"draft".into()).is_none(),
        "nothing else was approved"
    );
    assert_eq!(state.offered_digest(), digest, "the upstream offers what it did");
}

#[test]
fn what_was_shown_and_is_offered_no_more_is_not_approved() {
    let now = [("search", 3), ("send", 1)];
    let moved = observed(offered(&now, &[("search", 3)], &[], &["draft"]));
    given::<Connection>([held(), vec![moved]].concat())
        .when(approve(Some(&["search"]), &catalog(&AFTER).digest))
        .then_expect_error(ConnectionError::OfferedOtherwise);
    given::<Connection>(in_force(Drift::Hold, &BEFORE))
        .when(approve(None, &catalog(&AFTER).digest))
        .then_expect_error(ConnectionError::OfferedOtherwise);
}

#[test]
fn to_approve_what_is_in_force_changes_nothing_and_what_is_not_there_is_an_error() {
    given::<Connection>(in_force(Drift::Hold, &BEFORE))
        .when(approve(None, &catalog(&BEFORE).digest))
        .then_expect_events(vec![]);
    let digest = catalog(&AFTER).digest;
    given::<Connection>(held()).when(approve(Some(&["send"]), &digest)).then_expect_events(vec![]);
    given::<Connection>(held()).when(approve(Some(&["search", "nothing"]), &digest)).then_expect_error(
        ConnectionError::NoSuchTool {
            tool: "nothing".into(),
            held: ["search", "tag", "draft"].map(Feature::from).into(),
        },
    );
}

#[test]
fn whoever_refreshes_vouches_for_everything_that_is_found() {
    let refresh = Command::RefreshCatalog { by: by(), catalog: catalog(&AFTER), generation: 1 };
    given::<Connection>(held()).when(refresh).then_expect_events(vec![refreshed(&AFTER)]);
    let state = state::<Connection>((1..).zip([held(), vec![refreshed(&AFTER)]].concat()));
    assert!(state.offered().is_none() && state.feature(&"tag".into()).is_some());
}

#[test]
fn a_policy_that_accepts_everything_does_so_on_the_record() {
    let accepted = ConnectionEvent::CatalogAccepted {
        by: system(),
        policy: Drift::All,
        tools: settled(&[("draft", Some(1), None), ("search", Some(1), Some(2)), ("tag", None, Some(1))]),
        catalog: catalog(&AFTER).digest,
    };
    given::<Connection>(in_force(Drift::All, &BEFORE))
        .when(observe(&AFTER))
        .then_expect_events(vec![drifted(), accepted.clone()]);
    let events = [in_force(Drift::All, &BEFORE), vec![drifted(), accepted]].concat();
    given::<Connection>(events.clone()).when(observe(&AFTER)).then_expect_events(vec![]);
    let state = state::<Connection>((1..).zip(events));
    assert_eq!(state.catalog().map(|known| &**known), Some(&catalog(&AFTER)));
}

#[test]
fn a_policy_that_accepts_what_narrows_accepts_exactly_what_was_found_to() {
    let narrowed =
        |from: &str, to: &str| Narrowed { tool: "search".into(), from: from.to_owned(), to: to.to_owned() };
    let look = |narrowed| seen(Observation { narrowed: vec![narrowed], ..observation(&AFTER) });
    let accepted = ConnectionEvent::CatalogAccepted {
        by: system(),
        policy: Drift::Narrowing,
        tools: settled(&[("draft", Some(1), None), ("search", Some(1), Some(2))]),
        catalog: catalog(&[("search", 2), ("send", 1)]).digest,
    };
    given::<Connection>(in_force(Drift::Narrowing, &BEFORE))
        .when(look(narrowed("search 1", "search 2")))
        .then_expect_events(vec![drifted(), accepted]);
    // What was compared is not what is in force, or not what is offered.
    let gone = ConnectionEvent::CatalogAccepted {
        by: system(),
        policy: Drift::Narrowing,
        tools: settled(&[("draft", Some(1), None)]),
        catalog: catalog(&[("search", 1), ("send", 1)]).digest,
    };
    for other in [narrowed("search 0", "search 2"), narrowed("search 1", "search 3")] {
        given::<Connection>(in_force(Drift::Narrowing, &BEFORE))
            .when(look(other))
            .then_expect_events(vec![drifted(), gone.clone()]);
    }
    given::<Connection>(in_force(Drift::Hold, &BEFORE))
        .when(look(narrowed("search 1", "search 2")))
        .then_expect_events(vec![drifted()]);
}

#[test]
fn a_tool_that_is_gone_is_no_more_where_what_narrows_is_accepted_and_is_held_when_it_is_back() {
    let (all, fewer) = ([("draft", 1), ("send", 1)], [("send", 1)]);
    let went = observed(offered(&fewer, &[], &[], &["draft"]));
    let accepted = ConnectionEvent::CatalogAccepted {
        by: system(),
        policy: Drift::Narrowing,
        tools: settled(&[("draft", Some(1), None)]),
        catalog: catalog(&fewer).digest,
    };
    given::<Connection>(in_force(Drift::Narrowing, &all))
        .when(observe(&fewer))
        .then_expect_events(vec![went.clone(), accepted.clone()]);
    // Whoever saw only a part does not know that it is gone.
    let part = Observation { complete: false, ..observation(&fewer) };
    given::<Connection>(in_force(Drift::Narrowing, &all)).when(seen(part)).then_expect_events(vec![]);
    let back = observed(offered(&all, &[], &[("draft", 1)], &[]));
    given::<Connection>([in_force(Drift::Narrowing, &all), vec![went, accepted]].concat())
        .when(observe(&all))
        .then_expect_events(vec![back]);
}

/// Whether the scene's session may call this tool of a connection to which this happened.
fn judged(terms: Terms, tool: &str, events: Vec<ConnectionEvent>) -> Result<String, Refusal> {
    let session = state::<Session>([(9, opened(terms.clone()))]);
    let grounds = CallGrounds { connection: Some(state((1..).zip(events))), ..call_grounds() };
    let route = session.judge(&terms, NOW, &call("call_1", tool), &grounds);
    route.map(|route| route.definition.unwrap()).map_err(|denial| denial.reason)
}

#[test]
fn a_call_of_a_held_tool_is_refused_and_one_of_a_tool_that_is_gone_as_well() {
    let judge = |tool| judged(terms(), tool, held());
    assert_eq!(judge("search"), Err(Refusal::ToolHeld));
    assert_eq!(judge("draft"), Err(Refusal::NotInCatalog));
    // `draft` was taken out of force, and is offered anew.
    let none = in_force(Drift::Hold, &[("search", 1)]);
    let back = observed(offered(&[("draft", 1), ("search", 1)], &[], &[("draft", 1)], &[]));
    let events = [none, vec![back]].concat();
    assert_eq!(judged(terms(), "draft", events.clone()), Err(Refusal::ToolHeld));
    let read_only = Terms { access: Access::ReadOnly, ..terms() };
    assert_eq!(judged(read_only.clone(), "draft", events.clone()), Err(Refusal::NotReadOnly));
    assert_eq!(judged(read_only, "search", events.clone()), Ok("search 1".to_owned()));
    let cut = ConnectionEvent::ConnectionSessionsCut { by: by(), reason: reason() };
    let cut = [events, vec![cut; 7]].concat();
    assert_eq!(judged(terms(), "draft", cut), Err(Refusal::ConnectionCut));
}

#[test]
fn a_tool_stands_as_it_is_in_force_and_offered() {
    let state = state::<Connection>((1..).zip(held()));
    let (search, tag, send) = (tool("search", 1).1, tool("tag", 1).1, tool("send", 1).1);
    let changed = tool("search", 2).1;
    assert_eq!(
        state.standing(&"search".into()),
        Standing::Held { in_force: Some(&search), offered: &changed }
    );
    assert_eq!(state.standing(&"tag".into()), Standing::Held { in_force: None, offered: &tag });
    assert_eq!(state.standing(&"send".into()), Standing::InForce(&send));
    assert_eq!(state.standing(&"draft".into()), Standing::Gone(&tool("draft", 1).1));
    assert_eq!(state.standing(&"other".into()), Standing::Unknown);
}

/// One thing that happens to a connection.
#[derive(Clone, Debug)]
enum Step {
    Observe { tools: BTreeMap<usize, u32>, complete: bool, narrowed: bool },
    Approve { tools: Option<BTreeSet<usize>>, as_shown: bool },
    Refresh(BTreeMap<usize, u32>),
    Policy(Drift),
}

const NAMES: [&str; 5] = ["draft", "search", "send", "prompt:send", "resource_template:mail://{id}"];

fn tools() -> impl Strategy<Value = BTreeMap<usize, u32>> {
    prop::collection::btree_map(0..NAMES.len(), 1..3_u32, 0..=NAMES.len())
}

fn step() -> impl Strategy<Value = Step> {
    let policy = prop_oneof![Just(Drift::Hold), Just(Drift::Narrowing), Just(Drift::All)];
    prop_oneof![
        4 => (tools(), any::<bool>(), any::<bool>())
            .prop_map(|(tools, complete, narrowed)| Step::Observe { tools, complete, narrowed }),
        2 => (prop::option::of(prop::collection::btree_set(0..NAMES.len(), 0..3)), any::<bool>())
            .prop_map(|(tools, as_shown)| Step::Approve { tools, as_shown }),
        1 => tools().prop_map(Step::Refresh),
        1 => policy.prop_map(Step::Policy),
    ]
}

fn of(tools: &BTreeMap<usize, u32>) -> Vec<(&'static str, u32)> {
    tools.iter().map(|(index, variant)| (NAMES[*index], *variant)).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// The definitions that somebody or the policy let into force, and no others, are ever in force; and
    /// what is offered as it is in force is not held.
    #[test]
    fn nothing_comes_into_force_that_nobody_let_in(steps in prop::collection::vec(step(), 1..30)) {
        let mut connection = Connection::default();
        let mut at = 0;
        let mut record = |connection: &mut Connection, events: &[ConnectionEvent]| {
            for event in events {
                at += 1;
                let place = proctor_domain::Place { position: Position(at), recorded_at: NOW };
                connection.evolve(event, place);
            }
        };
        record(&mut connection, &in_force(Drift::Hold, &BEFORE));
        // The model: what is in force, and what was last seen of each tool.
        let mut force: BTreeMap<Feature, String> = catalog(&BEFORE).features.into_iter().map(|(n, t)| (n, t.digest)).collect();
        let mut seen_now = force.clone();
        for step in steps {
            let generation = connection.generation();
            let policy = connection.settings().map(|settings| settings.drift).unwrap_or_default();
            let digests = |tools: &BTreeMap<usize, u32>| -> BTreeMap<Feature, String> {
                catalog(&of(tools)).features.into_iter().map(|(name, tool)| (name, tool.digest)).collect()
            };
            let command = match &step {
                Step::Observe { tools, complete, narrowed } => {
                    if *complete { seen_now = digests(tools) } else { seen_now.extend(digests(tools)) }
                    let changes = digests(tools).into_iter().filter_map(|(name, to)| {
                        Some(Narrowed { from: force.get(&name)?.clone(), tool: name, to })
                    });
                    let narrowed: Vec<_> = if *narrowed { changes.collect() } else { Vec::new() };
                    for change in &narrowed {
                        if policy == Drift::Narrowing { force.insert(change.tool.clone(), change.to.clone()); }
                    }
                    if policy == Drift::Narrowing { force.retain(|name, _| seen_now.contains_key(name)) }
                    if policy == Drift::All { force.clone_from(&seen_now) }
                    let observation = Observation { catalog: catalog(&of(tools)), complete: *complete, narrowed };
                    Command::ObserveCatalog { by: system(), observation, generation, at: NOW }
                }
                Step::Approve { tools, as_shown } => {
                    let digest = if *as_shown { connection.offered_digest() } else { "other".to_owned() };
                    let tools: Option<BTreeSet<Feature>> =
                        tools.as_ref().map(|tools| tools.iter().map(|index| Feature::from(NAMES[*index])).collect());
                    let known = |tool: &Feature| force.contains_key(tool) || seen_now.contains_key(tool);
                    if *as_shown && tools.iter().flatten().all(known) {
                        for name in NAMES.iter().filter(|name| tools.as_ref().is_none_or(|all| all.contains(&Feature::from(**name)))) {
                            let name = Feature::from(*name);
                            match seen_now.get(&name) {
                                Some(digest) => { force.insert(name, digest.clone()); }
                                None => { force.remove(&name); }
                            }
                        }
                    }
                    Command::ApproveCatalog { by: by(), tools, digest }
                }
                Step::Refresh(tools) => {
                    (force, seen_now) = (digests(tools), digests(tools));
                    Command::RefreshCatalog { by: by(), catalog: catalog(&of(tools)), generation }
                }
                Step::Policy(drift) => {
                    let settings = Settings { drift: *drift, ..settings() };
                    Command::Reconfigure { by: by(), settings, new_secrets: false }
                }
            };
            if let Ok(events) = connection.decide(&command) {
                record(&mut connection, &events);
                // The same again says nothing new.
                if matches!(command, Command::ObserveCatalog { .. } | Command::ApproveCatalog { .. }) {
                    prop_assert_eq!(connection.decide(&command).map_err(|_| ()).unwrap_or_default(), vec![]);
                }
            }
            let known = connection.catalog().map(|catalog| catalog.features.clone()).unwrap_or_default();
            let known: BTreeMap<Feature, String> = known.into_iter().map(|(name, tool)| (name, tool.digest)).collect();
            prop_assert_eq!(&known, &force);
            for name in NAMES.map(Feature::from) {
                let callable = connection.feature(&name).map(|tool| &tool.digest);
                let expected = force.get(&name).filter(|digest| seen_now.get(&name) == Some(digest));
                prop_assert_eq!(callable, expected, "{}", name);
            }
            prop_assert_eq!(connection.offered().is_some(), seen_now != force);
        }
    }
}
