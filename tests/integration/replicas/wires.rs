//! Connections of agents and to the upstream that are cut at any moment, in both directions.
#![expect(clippy::print_stdout, reason = "what a test measured is read in its output")]

use std::time::Duration;

use proctor_test_upstream::{Answers, Eras, Options, Upstream};

use super::load::{Load, Told};
use super::proxy::Proxy;
use super::{Replicas, database, happens_within};
use crate::dice;
use crate::rest::ALL_TOOLS;

const AGENTS: u64 = 6;
/// A call is some two to six pieces on each side.
const PIECES_CUT_ONE_IN: usize = 20;
/// In either direction, on either side.
const PIECES_CUT: usize = 60;
const CUT_WAIT: Duration = Duration::from_secs(60);

#[test]
fn connections_of_agents_and_to_a_modern_upstream_cut_at_random_repeat_and_lose_nothing() {
    cut_on_both_sides(Options { eras: Eras::Modern, ..Options::default() });
}

#[test]
fn connections_of_agents_and_to_a_legacy_upstream_cut_at_random_repeat_and_lose_nothing() {
    cut_on_both_sides(Options { eras: Eras::Legacy, answers: Answers::Sse, ..Options::default() });
}

fn cut_on_both_sides(options: Options) {
    let seed = dice::seed();
    let (_cluster, database) = database();
    let replicas = Replicas::start(&database.url(), &[]);
    let upstream = Upstream::start(options);
    let behind = Proxy::start(upstream.address(), seed);
    replicas.server(0).connect("fixture", &format!("http://{}/mcp", behind.address));
    replicas.server(0).define("desk", "fixture", &ALL_TOOLS);
    let before = Proxy::start(replicas.balancer.address, seed + 1);
    let sides = [&before.faults, &behind.faults];
    let load = Load::new(seed);
    load.during(AGENTS, before.address, || {
        sides.iter().for_each(|side| side.cut_one_in(PIECES_CUT_ONE_IN));
        let enough = happens_within(CUT_WAIT, || {
            sides.iter().all(|side| {
                let (questions, answers) = side.cut();
                questions.min(answers) >= PIECES_CUT
            })
        });
        sides.iter().for_each(|side| side.cut_one_in(0));
        assert!(enough, "too little was cut: {:?}", sides.map(|side| side.cut()));
    });
    println!("cut before and behind: {:?}", sides.map(|side| side.cut()));
    let (journal, seen) = replicas.end_well(load, &upstream, |sql| database.sql(sql));
    for called in seen.calls.iter().filter(|call| call.told == Told::Refused(200)) {
        // The database was well, so that an agent that was told of a failure was told of this one.
        let outcome = journal.outcome(&called.trace).expect("what failed has its outcome");
        assert_ne!(outcome, "succeeded", "{called:?}");
    }
    assert!(seen.succeeded() > PIECES_CUT, "there was too little load to show anything");
}
