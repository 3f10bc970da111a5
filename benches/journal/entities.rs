//! Entities: from the question to the durable answer, and what they take in memory.

use std::time::Instant;

use futures_util::future::try_join_all;

use crate::Failure;
use crate::measure::{Folder, Stopwatch, resident_bytes};
use crate::scene::Scene;

const SEALED_BYTES: usize = 240;

/// Admissions and outcomes, from `askers` that wait for each answer, on so many sessions.
pub fn round_trips(sessions: usize, askers: usize) -> Result<(), Failure> {
    let calls_each = if askers == 1 { 2_000 } else { 1_000 };
    let folder = Folder::new()?;
    actix_web::rt::System::new().block_on(async {
        let scene = Scene::set(folder.path()).await?;
        let mut opened = Vec::new();
        for _ in 0..sessions {
            opened.push(scene.mint().await?);
        }
        let watch = Stopwatch::start();
        let ask = |asker: usize| {
            let (scene, session) = (scene.clone(), opened[asker % sessions].clone());
            async move {
                let sealed = bytes::Bytes::from(vec![7; SEALED_BYTES]);
                let mut took = Vec::with_capacity(calls_each);
                for _ in 0..calls_each {
                    let asked = Instant::now();
                    scene.call(&session, &sealed).await?;
                    took.push(asked.elapsed());
                }
                Ok::<_, Failure>(took)
            }
        };
        let mut took: Vec<_> = try_join_all((0..askers).map(ask)).await?.into_iter().flatten().collect();
        let per_event = watch.per_event(took.len() * 2);
        took.sort_unstable();
        let at = |part: usize| took[took.len() * part / 100].as_micros();
        println!(
            "{sessions:>2} sessions, {askers:>2} askers: {per_event}; admission and outcome p50 {} us, p99 {} us",
            at(50),
            at(99)
        );
        scene.journal.stop().await;
        Ok(())
    })
}

/// What live session entities take.
pub fn memory(sessions: usize) -> Result<(), Failure> {
    let folder = Folder::new()?;
    actix_web::rt::System::new().block_on(async {
        let scene = Scene::set(folder.path()).await?;
        let before = resident_bytes();
        let began = Instant::now();
        for _ in 0..sessions / 100 {
            try_join_all((0..100).map(|_| scene.mint())).await?;
        }
        let took = began.elapsed();
        let grown = resident_bytes().saturating_sub(before);
        println!(
            "{} live entities: {} MB resident, {} MB of it since the start ({} bytes each); minted in {took:?}",
            scene.directory.alive(),
            resident_bytes() / 1_000_000,
            grown / 1_000_000,
            grown / sessions as u64,
        );
        scene.journal.stop().await;
        Ok(())
    })
}
