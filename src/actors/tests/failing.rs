//! Entities on a journal that fails.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, mpsc};
use std::time::Duration;

use async_trait::async_trait;
use proctor_domain::session::Session;
use proctor_domain::subject::Subject;
use proctor_domain::{Micros, Position, Recorded, StreamId};

use super::world::*;
use crate::actors::AskError;
use crate::actors::directory::ANSWER_WAIT;
use crate::journal::tests::{Fault, Site, on_both_stores};
use crate::journal::{AppendError, Lease, MovedAway, Reader, StoreError, SubjectRow};
use crate::vault::PurposeKeyRow;

/// A reader whose streams cannot be read as long as a test says so.
struct Blind {
    reader: Arc<dyn Reader>,
    blind: Arc<AtomicBool>,
}

#[async_trait]
impl Reader for Blind {
    async fn head(&self) -> Result<Position, StoreError> {
        self.reader.head().await
    }

    async fn now(&self) -> Result<Micros, StoreError> {
        self.reader.now().await
    }

    async fn read(&self, after: Position, limit: usize) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.reader.read(after, limit).await
    }

    async fn stream(&self, stream: &StreamId, after: u64) -> Result<Vec<Arc<Recorded>>, StoreError> {
        if self.blind.load(Ordering::Acquire) {
            return Err(StoreError::Database { doing: "see", reason: "the test forbids it".into() });
        }
        self.reader.stream(stream, after).await
    }

    async fn carried_stream(
        &self,
        stream: &StreamId,
        carried_by: &'static str,
    ) -> Result<Vec<Arc<Recorded>>, StoreError> {
        self.stream(stream, 0).await?;
        self.reader.carried_stream(stream, carried_by).await
    }

    async fn stream_ids(&self, kind: &'static str) -> Result<Vec<String>, StoreError> {
        self.reader.stream_ids(kind).await
    }

    async fn sealed(&self, position: Position) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.sealed(position).await
    }

    async fn definition(&self, digest: &str) -> Result<Option<String>, StoreError> {
        self.reader.definition(digest).await
    }

    async fn subject_by_index(&self, user_index: &[u8]) -> Result<Option<SubjectRow>, StoreError> {
        self.reader.subject_by_index(user_index).await
    }

    async fn subject(&self, subject: &str) -> Result<Option<SubjectRow>, StoreError> {
        self.reader.subject(subject).await
    }

    async fn subjects(&self, after: &str, limit: usize) -> Result<Vec<SubjectRow>, StoreError> {
        self.reader.subjects(after, limit).await
    }

    async fn session_key(&self, session: &str) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.session_key(session).await
    }

    async fn user_credential(&self, user: &str, name: &str, n: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.user_credential(user, name, n).await
    }

    async fn pending_credential(
        &self,
        user: &str,
        name: &str,
        link: &str,
    ) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.pending_credential(user, name, link).await
    }

    async fn connection_secret(&self, name: &str, generation: u32) -> Result<Option<Vec<u8>>, StoreError> {
        self.reader.connection_secret(name, generation).await
    }

    async fn purpose_keys(&self) -> Result<Vec<PurposeKeyRow>, StoreError> {
        self.reader.purpose_keys().await
    }

    async fn leases(&self) -> Result<Vec<Lease>, StoreError> {
        self.reader.leases().await
    }

    async fn moved(&self) -> Result<Option<MovedAway>, StoreError> {
        self.reader.moved().await
    }
}

fn an_entity_that_cannot_be_loaded_says_so_and_can_be_later(site: Site) {
    play(async {
        World::open(&site, "rep_1").await.set().await;
        let blind = Arc::new(AtomicBool::new(true));
        let reads = |reader| Arc::new(Blind { reader, blind: Arc::clone(&blind) }) as _;
        let journal = site.open_reading(site.config("rep_2"), reads).await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        let started = std::time::Instant::now();
        let state = world.directory.state::<Subject>("sub_1").await;
        assert!(matches!(&state, Err(AskError::Unavailable(stream)) if *stream.id == *"sub_1"));
        assert!(matches!(world.cut_subject("sub_1").await, Err(AskError::Unavailable(_))));
        assert!(world.directory.fresh::<Subject>("sub_1").await.is_err());
        assert!(started.elapsed() < Duration::from_secs(4), "nobody waits for what will not come");
        blind.store(false, Ordering::Release);
        assert_eq!(types(&world.cut_subject("sub_1").await.unwrap()), ["SubjectSessionsCut"]);
    });
}

fn what_was_written_is_answered_though_it_cannot_be_loaded_on(site: Site) {
    play(async {
        World::open(&site, "rep_1").await.set().await;
        let other_site = site.another();
        let elsewhere = World::open(&other_site, "rep_1").await;
        elsewhere.set().await;
        let blind = Arc::new(AtomicBool::new(false));
        let reads = |reader| Arc::new(Blind { reader, blind: Arc::clone(&blind) }) as _;
        let journal = site.open_reading(site.config("rep_2"), reads).await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.directory.state::<Subject>("sub_1").await.unwrap();
        // An event before it never came, and cannot be read. It is of another journal, so that no
        // doorbell brings what is missing.
        let subjects = <Subject as crate::actors::Kind>::room(&world.directory);
        elsewhere.cut_subject("sub_1").await.unwrap();
        let cut = elsewhere.cut_subject("sub_1").await.unwrap();
        blind.store(true, Ordering::Release);
        subjects.deliver("sub_1", cut);
        assert!(world.directory.state::<Subject>("sub_1").await.is_err());
        blind.store(false, Ordering::Release);
        assert_eq!(types(&world.cut_subject("sub_1").await.unwrap()), ["SubjectSessionsCut"]);
    });
}

fn a_failed_append_leaves_the_entity_as_it_was_and_it_goes_on(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        for fault in [Fault::Begin, Fault::Commit] {
            script.will([fault]);
            let error = world.call("ses_1", "call_1", "search").await.unwrap_err();
            assert!(matches!(error, AskError::Append(AppendError::Store(_))), "{error}");
            let state = world.directory.state::<Session>("ses_1").await.unwrap();
            assert!(state.in_flight().is_empty());
        }
        assert_eq!(types(&world.call("ses_1", "call_1", "search").await.unwrap()), ["ToolCallAdmitted"]);
        script.will([Fault::CommitAnswerLost]);
        assert_eq!(types(&world.end("ses_1", "call_1").await.unwrap()), ["ToolCallEnded"]);
    });
}

fn what_was_in_doubt_reaches_the_entity_later(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let session = world.directory.state::<Session>("ses_1").await.unwrap();
        let terms = session.terms().unwrap();
        let flight = world.calls.enter(
            "call_1".into(),
            "ses_1".into(),
            session.opened_at(),
            terms.subject.clone(),
            terms.virtual_server.clone(),
        );
        script.will([Fault::CommitAnswerLost]);
        script.will(std::iter::repeat_with(|| Fault::Reopen).take(4));
        let error = world.call("ses_1", "call_1", "search").await.unwrap_err();
        assert!(matches!(error, AskError::Append(AppendError::InDoubt(_))), "{error}");
        let state = world.directory.fresh::<Session>("ses_1").await.unwrap();
        assert_eq!(state.in_flight().len(), 1, "it took place");
        // Whoever asked has given up: the call never left.
        drop(flight);
        world.calls.age_orphans();
        crate::actors::sweep(&world.directory, &world.calls, |_| async { Some(Vec::new()) }).await;
        let state = world.directory.state::<Session>("ses_1").await.unwrap();
        assert!(state.in_flight().is_empty());
    });
}

fn nobody_waits_long_for_a_slow_journal_and_who_gave_up_is_not_served(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let (let_go, gate) = mpsc::channel();
        script.will([Fault::CommitHeld(gate)]);
        let asked = std::time::Instant::now();
        let confirming = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            world.journal.confirm().await
        };
        // The second waits for the first, and the head for both.
        let (first, second, head) = tokio::join!(
            world.call("ses_1", "call_1", "search"),
            world.call("ses_1", "call_2", "search"),
            confirming,
        );
        for error in [first.unwrap_err(), second.unwrap_err()] {
            assert!(matches!(error, AskError::Append(AppendError::InDoubt(_))), "{error}");
        }
        head.unwrap_err();
        assert!(asked.elapsed() < ANSWER_WAIT + Duration::from_secs(1), "{:?}", asked.elapsed());
        let_go.send(()).unwrap();
        let state = world.directory.fresh::<Session>("ses_1").await.unwrap();
        assert!(!state.in_flight().contains_key(&"call_2".into()), "nobody waited for it any more");
    });
}

fn nobody_hangs_when_the_journal_stops(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        let (let_go, gate) = mpsc::channel();
        script.will([Fault::CommitHeld(gate)]);
        let calls: Vec<String> = (0..50).map(|n| format!("call_{n}")).collect();
        let asking = futures_util::future::join_all(calls.iter().map(|c| world.call("ses_1", c, "search")));
        let stopping = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            let stopped = world.journal.stop();
            let_go.send(()).unwrap();
            stopped.await;
        };
        let (answers, ()) = tokio::join!(asking, stopping);
        let written = site.history().await.len();
        let admitted = answers.iter().filter(|answer| answer.is_ok()).count();
        assert_eq!(written, 6 + admitted, "acknowledged is written, and nothing else");
        for answer in answers {
            assert!(matches!(answer, Ok(_) | Err(AskError::Append(AppendError::Stopping))));
        }
    });
}

fn nobody_hangs_when_the_appender_panics(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_1", "sub_1").await.unwrap();
        script.will([Fault::Panic]);
        let error = world.call("ses_1", "call_1", "search").await.unwrap_err();
        assert!(matches!(error, AskError::Append(AppendError::InDoubt(_))), "{error}");
        let error = world.call("ses_1", "call_2", "search").await.unwrap_err();
        let told = matches!(error, AskError::Append(AppendError::Stopping | AppendError::InDoubt(_)));
        assert!(told, "{error}");
    });
}

fn what_was_written_for_an_entity_that_is_gone_is_answered_once_and_reaches_the_next(site: Site) {
    play(async {
        let (journal, script) = site.open_faulty("rep_1").await;
        let world = World::on(journal, Duration::from_secs(3_600)).await;
        world.set().await;
        world.mint("ses_0", "sub_1").await.unwrap();
        let worker = actix::Arbiter::new();
        let (let_go, gate) = mpsc::channel();
        let (done, ready) = tokio::sync::oneshot::channel();
        let there = world.clone();
        worker.spawn(async move {
            there.mint("ses_1", "sub_1").await.unwrap();
            done.send(()).unwrap();
        });
        ready.await.unwrap();
        script.will([Fault::CommitHeld(gate)]);
        let asking = world.call("ses_1", "call_1", "search");
        let ending = async {
            tokio::time::sleep(Duration::from_millis(100)).await;
            // The entity's thread ends with its append outstanding; another takes its place.
            worker.stop();
            worker.join().unwrap();
            let state = world.directory.state::<Session>("ses_1").await.unwrap();
            assert!(state.in_flight().is_empty());
            let_go.send(()).unwrap();
        };
        let (answer, ()) = tokio::join!(asking, ending);
        assert_eq!(types(&answer.unwrap()), ["ToolCallAdmitted"]);
        let state = world.directory.fresh::<Session>("ses_1").await.unwrap();
        assert_eq!(state.in_flight().len(), 1);
        assert_eq!(types(&world.end("ses_1", "call_1").await.unwrap()), ["ToolCallEnded"]);
    });
}

on_both_stores!(
    an_entity_that_cannot_be_loaded_says_so_and_can_be_later,
    what_was_written_is_answered_though_it_cannot_be_loaded_on,
    a_failed_append_leaves_the_entity_as_it_was_and_it_goes_on,
    what_was_in_doubt_reaches_the_entity_later,
    nobody_waits_long_for_a_slow_journal_and_who_gave_up_is_not_served,
    nobody_hangs_when_the_journal_stops,
    nobody_hangs_when_the_appender_panics,
    what_was_written_for_an_entity_that_is_gone_is_answered_once_and_reaches_the_next,
);
