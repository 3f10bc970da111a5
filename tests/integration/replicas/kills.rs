//! Replicas that are killed at random moments.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use super::load::Load;
use super::{Replica, Replicas, database, desk};
use crate::dice::{self, Dice};

/// Kills of one run, unless `PROCTOR_TEST_KILL_CYCLES` says how many.
const KILLS: usize = 200;
/// Agents that call meanwhile.
const AGENTS: u64 = 6;
/// A replica lives at most so long after it is ready.
const LIFE_MS_MAX: usize = 1_500;
/// One launch in so many is killed before it is ready.
const UNREADY_ONE_IN: usize = 4;
/// How long such a one lives at most.
const UNREADY_MS_MAX: usize = 300;

#[test]
fn replicas_killed_at_random_moments_lose_nothing_acknowledged() {
    let kills_wanted =
        std::env::var("PROCTOR_TEST_KILL_CYCLES").map_or(KILLS, |kills| kills.parse().unwrap());
    let seed = dice::seed();
    let (_cluster, database) = database();
    let mut replicas = Replicas::start(&database.url(), &[]);
    let upstream = desk(&replicas);
    let load = Load::new(seed);
    let kills = AtomicUsize::new(0);
    let began = Instant::now();
    let Replicas { all, balancer } = &mut replicas;
    let kill = |at: usize, replica: &mut Replica| {
        let mut dice = Dice::new(seed ^ (at as u64 + 1));
        while kills.fetch_add(1, Ordering::Relaxed) < kills_wanted {
            pause(dice.roll(LIFE_MS_MAX));
            replica.server.kill();
            while dice.roll(UNREADY_ONE_IN) == 0 {
                replica.launch_again();
                pause(dice.roll(UNREADY_MS_MAX));
                replica.server.kill();
                kills.fetch_add(1, Ordering::Relaxed);
            }
            replica.start_again();
            balancer.moved(at, replica.server.address);
        }
    };
    load.during(AGENTS, balancer.address, || {
        std::thread::scope(|scope| {
            let kill = &kill;
            for (at, replica) in all.iter_mut().enumerate() {
                scope.spawn(move || kill(at, replica));
            }
        });
    });
    println!("{} kills in {:.0?}", kills.into_inner().min(kills_wanted), began.elapsed());
    let (_, seen) = replicas.end_well(load, &upstream, |sql| database.sql(sql));
    assert!(seen.succeeded() > kills_wanted, "there was too little load to show anything");
}

fn pause(milliseconds: usize) {
    std::thread::sleep(Duration::from_millis(milliseconds as u64));
}
