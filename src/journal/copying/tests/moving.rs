//! What becomes of a store that was left: it takes nothing more, whoever asks, until it is reopened.

use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use super::*;
use crate::journal::tests::on_both_stores;
use crate::journal::{AppendError, Journal};

/// A store of the other kind.
fn elsewhere(site: &Site) -> Site {
    if site.is_file() { Site::postgres() } else { Site::sqlite() }
}

/// A move; answers what the source says from then on.
async fn move_between(from: &Site, to: &Site) -> Result<MovedAway, CopyError> {
    let mut destination = destination(to).await;
    let place = destination.place();
    let done = copy(&mut *source(from).await, &mut *destination, Then::MarkMoved, &mut |_| ()).await?;
    assert!(matches!(done.outcome, Outcome::Copied(_)), "{done:?}");
    let moved = done.moved.expect("a mark");
    assert_eq!(moved.to, place);
    Ok(moved)
}

/// A process that is started: what it is refused with.
async fn refused(site: &Site) -> StoreError {
    let reader = site.reader().await;
    let opened = if site.is_file() {
        let (store, _) = crate::journal::sqlite::open(&site.journal_file()).unwrap();
        Journal::open(store, reader, site.config("rep_9")).await
    } else {
        let (store, _) = crate::journal::postgres::open(&site.postgres_config()).await.unwrap();
        Journal::open(store, reader, site.config("rep_9")).await
    };
    opened.map(drop).unwrap_err()
}

/// SQL that the database is to refuse.
fn refusal(site: &Site, sql: &str) -> String {
    match site.is_file() {
        true => {
            let file = rusqlite::Connection::open(site.journal_file()).unwrap();
            file.execute_batch(sql).unwrap_err().to_string()
        }
        false => site.database().try_sql(sql).unwrap_err(),
    }
}

async fn a_store_that_was_left_says_where_to_and_takes_no_process(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let whole = from.history().await;
    let moved = move_between(&from, &to).await.unwrap();
    assert_eq!(from.reader().await.moved().await.unwrap(), Some(moved.clone()));
    let error = refused(&from).await;
    assert!(matches!(&error, StoreError::Moved(told) if *told == moved), "{error}");
    let error = error.to_string();
    assert!(error.contains(&moved.to) && error.contains("proctor store reopen"), "{error}");
    assert_eq!(from.history().await, whole, "the mark is no event, and changes none");
    assert_eq!(to.reader().await.moved().await.unwrap(), None, "it does not come along");
    note("s", 3, 9).append(&to.open("rep_2").await).await.committed();
}

async fn a_store_that_was_left_refuses_whoever_does_not_know_of_moves(site: Site) {
    let from = furnished(site).await;
    move_between(&from, &elsewhere(&from)).await.unwrap();
    for sql in [
        "INSERT INTO events (position, recorded_at, event_id, aggregate_type, aggregate_id, sequence,
                             event_type, event_version, payload, metadata)
         VALUES (7, 1, 'evt_7', 'watch', 'u', 1, 'X', '1', '{}', '{}')",
        "INSERT INTO leases (replica, ends_at, confirmed, reads) VALUES ('rep_9', 1, 0, 1)",
        "UPDATE leases SET ends_at = ends_at + 1",
    ] {
        let error = refusal(&from, sql);
        assert!(error.contains("this journal was moved to"), "{sql}: {error}");
    }
    from.sql("UPDATE leases SET ends_at = 0; DELETE FROM leases");
}

async fn a_process_that_slept_through_the_move_writes_nothing_and_halts(site: Site) {
    let from = furnished(site).await;
    let (journal, script) = from.open_faulty("rep_2").await;
    note("s", 3, 1).append(&journal).await.committed();
    // It stands still, and takes its lease for good when it wakes up.
    script.lets_lease_end.store(true, Ordering::Release);
    from.sql("UPDATE leases SET ends_at = 1 WHERE replica = 'rep_2'");
    let moved = move_between(&from, &elsewhere(&from)).await.unwrap();
    for (stream, version) in [("s", 4), ("t", 3)] {
        let error = note(stream, version, 1).append(&journal).await.failed();
        assert!(matches!(&error, AppendError::Halted(_)), "{error}");
        assert!(error.to_string().contains(&moved.to), "{error}");
    }
    assert!(journal.head().is_halted() && !journal.head().is_fresh());
    assert_eq!(from.history().await.len(), 7);
}

async fn a_process_that_slept_through_the_move_halts_without_being_asked(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let mut config = from.config("rep_2");
    config.lease_ms = 1_500;
    let journal = from.open_with(config).await;
    loop {
        // Its lease has ended, and it has not come round to renewing it.
        from.sql("UPDATE leases SET ends_at = 1 WHERE replica = 'rep_2'");
        match move_between(&from, &to).await {
            Ok(_) => break,
            Err(error) => assert!(matches!(error, CopyError::InUse { .. }), "{error}"),
        }
    }
    let moved = Instant::now();
    while !journal.head().is_halted() {
        assert!(moved.elapsed() < Duration::from_secs(10), "it goes on");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let error = journal.confirm().await.unwrap_err().to_string();
    assert!(error.contains("this journal was moved to"), "{error}");
}

async fn a_lease_is_not_renewed_while_it_is_copied(site: Site) {
    let from = furnished(site).await;
    let mut refused = 0;
    let mut watch = |_| {
        let sql = "UPDATE leases SET ends_at = 9223372036854775807";
        refused += usize::from(match from.is_file() {
            true => {
                let late = rusqlite::Connection::open(from.journal_file()).unwrap();
                late.busy_timeout(Duration::ZERO).unwrap();
                late.execute_batch(sql).is_err()
            }
            false => from.database().try_sql(&format!("SET lock_timeout = '10ms'; {sql}")).is_err(),
        });
    };
    let to = elsewhere(&from);
    let (mut one, mut other) = (source(&from).await, destination(&to).await);
    copy(&mut *one, &mut *other, Then::MarkMoved, &mut watch).await.unwrap();
    assert!(refused > 10, "{refused}");
}

async fn a_store_that_is_reopened_goes_on(site: Site) {
    let from = furnished(site).await;
    let moved = move_between(&from, &elsewhere(&from)).await.unwrap();
    assert_eq!(reopen(&mut *source(&from).await).await.unwrap(), Some(moved));
    assert_eq!(reopen(&mut *source(&from).await).await.unwrap(), None);
    let journal = from.open("rep_2").await;
    note("s", 3, 9).append(&journal).await.committed();
    journal.stop().await;
    move_between(&from, &elsewhere(&from)).await.expect("and moves again");
    assert!(matches!(refused(&from).await, StoreError::Moved(_)));
}

async fn a_process_that_runs_while_the_mark_is_introduced_goes_on(site: Site) {
    let journal = site.open("rep_1").await;
    note("s", 0, 1).append(&journal).await.committed();
    // As an older version has left it.
    site.sql(match site.is_file() {
        true => {
            "DROP TRIGGER events_are_not_added_after_a_move; DROP TRIGGER leases_are_not_added_after_a_move;
             DROP TRIGGER leases_are_not_renewed_after_a_move; DROP TABLE moves; PRAGMA user_version = 2;
             DROP TABLE pending_credentials; ALTER TABLE user_credentials DROP COLUMN previous_generation;
             ALTER TABLE user_credentials DROP COLUMN previous_sealed;
             DROP TABLE webhook_secrets; DROP TABLE webhook_cursors; DROP TABLE webhook_deliveries;
             DROP TABLE webhook_lead; ALTER TABLE leases DROP COLUMN master_keys;
             ALTER TABLE purpose_keys DROP COLUMN active_at; DROP TABLE api_key_uses;
             DROP TABLE idempotent_requests"
        }
        false => {
            "DROP FUNCTION nothing_is_added_after_a_move CASCADE;
             DROP TABLE moves, pending_credentials, webhook_secrets, webhook_cursors, webhook_deliveries,
                 webhook_lead, api_key_uses, idempotent_requests;
             ALTER TABLE purpose_keys DROP COLUMN active_at;
             ALTER TABLE user_credentials DROP COLUMN previous_generation, DROP COLUMN previous_sealed;
             ALTER TABLE leases DROP COLUMN master_keys;
             DELETE FROM proctor_migrations WHERE number > 3"
        }
    });
    note("s", 1, 2).append(&journal).await.committed();
    site.open("rep_2").await.stop().await;
    note("s", 2, 3).append(&journal).await.committed();
    journal.stop().await;
    assert!(matches!(move_between(&site, &elsewhere(&site)).await, Ok(moved) if moved.at.0 > 0));
}

async fn a_rehearsal_leaves_the_source_in_use(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let (mut one, mut other) = (source(&from).await, destination(&to).await);
    let done = copy(&mut *one, &mut *other, Then::LeaveOpen, &mut |_| ()).await.unwrap();
    assert_eq!(done.moved, None);
    note("s", 3, 9).append(&from.open("rep_2").await).await.committed();
}

#[tokio::test]
async fn a_role_that_was_granted_its_rights_by_hand_goes_on_appending() {
    let site = Site::postgres();
    drop(destination(&site).await);
    let role = format!("by_hand_{}", site.database().name());
    site.sql(&format!(
        "CREATE ROLE {role} LOGIN; GRANT SELECT ON proctor_migrations TO {role};
         GRANT SELECT, INSERT ON events, payloads, definitions, subjects, session_keys, connection_secrets,
             purpose_keys TO {role};
         GRANT ALL ON leases TO {role}"
    ));
    let config = crate::journal::postgres::PostgresConfig::new(site.database().url_as(&role));
    let (store, reader) = crate::journal::postgres::open(&config).await.unwrap();
    let journal = Journal::open(store, reader, site.config("rep_1")).await.unwrap();
    note("s", 0, 1).append(&journal).await.committed();
    journal.stop().await;
    site.sql(&format!("DROP OWNED BY {role}; DROP ROLE {role}"));
}

on_both_stores!(
    async:
    a_store_that_was_left_says_where_to_and_takes_no_process,
    a_store_that_was_left_refuses_whoever_does_not_know_of_moves,
    a_process_that_slept_through_the_move_writes_nothing_and_halts,
    a_process_that_slept_through_the_move_halts_without_being_asked,
    a_lease_is_not_renewed_while_it_is_copied,
    a_store_that_is_reopened_goes_on,
    a_process_that_runs_while_the_mark_is_introduced_goes_on,
    a_rehearsal_leaves_the_source_in_use,
);
