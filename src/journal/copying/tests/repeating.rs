//! The same command again: after it failed, after it succeeded, and onto something else.

use super::altering::Commit;
use super::*;
use crate::journal::tests::on_both_stores;

async fn move_between(from: &Site, to: &Site) -> Result<Done, CopyError> {
    copy(&mut *source(from).await, &mut *destination(to).await, Then::MarkMoved, &mut |_| ()).await
}

fn elsewhere(site: &Site) -> Site {
    if site.is_file() { Site::postgres() } else { Site::sqlite() }
}

async fn is_marked(site: &Site) -> bool {
    site.reader().await.moved().await.unwrap().is_some()
}

/// Somebody works there.
async fn go_on(site: &Site, stream: &str, version: u64) {
    let journal = site.open("rep_2").await;
    note(stream, version, 9).append(&journal).await.committed();
    journal.stop().await;
}

async fn a_copy_that_failed_before_the_commit_is_made_again(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let mut fails = Altering::commit(destination(&to).await, Commit::Fails);
    let error = copy(&mut *source(&from).await, &mut fails, Then::MarkMoved, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, CopyError::Unknown(_)), "{error}");
    assert_eq!(rows(&to).await, 0);
    assert!(!is_marked(&from).await);
    let done = move_between(&from, &to).await.unwrap();
    assert!(matches!(done.outcome, Outcome::Copied(_)) && is_marked(&from).await);
}

async fn a_commit_whose_answer_was_lost_is_found_and_the_mark_made_up_for(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let mut lost = Altering::commit(destination(&to).await, Commit::AnswerLost);
    let error = copy(&mut *source(&from).await, &mut lost, Then::MarkMoved, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, CopyError::Unknown(_)) && !is_marked(&from).await, "{error}");
    let done = move_between(&from, &to).await.unwrap();
    assert!(matches!(done.outcome, Outcome::WasThere(_)) && is_marked(&from).await);
}

async fn a_mark_that_was_not_written_is_made_up_for(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let mut fails = Altering::commit(source(&from).await, Commit::Fails);
    let there = &mut *destination(&to).await;
    let error = copy(&mut fails, there, Then::MarkMoved, &mut |_| ()).await.unwrap_err();
    assert!(matches!(error, CopyError::NotMarked(_)) && !is_marked(&from).await, "{error}");
    // The new store is in use before anybody sees it.
    go_on(&to, "s", 3).await;
    let done = move_between(&from, &to).await.unwrap();
    assert_eq!(done.outcome, Outcome::HasGoneOn { head: Position(6), there: Position(7) });
    assert!(is_marked(&from).await);
}

async fn the_same_command_again_compares_and_changes_nothing(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let first = move_between(&from, &to).await.unwrap();
    let Outcome::Copied(copied) = first.outcome else { panic!("{first:?}") };
    let again = move_between(&from, &to).await.unwrap();
    assert_eq!(again, Done { outcome: Outcome::WasThere(copied), moved: first.moved });
    go_on(&to, "s", 3).await;
    let later = move_between(&from, &to).await.unwrap();
    assert_eq!(later.outcome, Outcome::HasGoneOn { head: Position(6), there: Position(7) });
    assert_eq!(later.moved, again.moved, "the first mark stays");
}

async fn whoever_serves_at_the_destination_is_not_kept_waiting(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    move_between(&from, &to).await.unwrap();
    let path = to.is_file().then(|| to.journal_file());
    let mut asked = 0;
    let mut watch = |_| {
        let lock = i64::from_be_bytes(*b"proctorJ");
        asked += 1;
        match &path {
            Some(path) => {
                let other = rusqlite::Connection::open(path).unwrap();
                other.busy_timeout(std::time::Duration::ZERO).unwrap();
                other.execute_batch("BEGIN IMMEDIATE").unwrap();
            }
            None => {
                let sql = format!("SELECT pg_try_advisory_xact_lock({lock})");
                assert_eq!(to.database().sql(&sql).trim(), "t");
            }
        }
    };
    let (mut one, mut other) = (source(&from).await, destination(&to).await);
    copy(&mut *one, &mut *other, Then::MarkMoved, &mut watch).await.unwrap();
    assert!(asked > 3, "{asked}");
}

async fn a_destination_with_something_else_is_described_and_nothing_is_marked(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let refused = async |to: &Site, says: &str| {
        let error = move_between(&from, to).await.unwrap_err();
        assert!(matches!(error, CopyError::Another(_)), "{error}");
        assert!(error.to_string().contains(says) && error.to_string().contains("name a new file"), "{error}");
        assert!(!is_marked(&from).await);
    };
    refused(&furnished(elsewhere(&from)).await, "it holds another journal, of 6 events").await;
    copy_between(&from, &to).await.unwrap();
    to.sql("UPDATE definitions SET json = 'x' WHERE digest = 'digest ü 2'");
    refused(&to, "it holds the same events, but digest ü 2 of definitions is another one in the copy").await;
    go_on(&from, "s", 3).await;
    refused(&to, "an older state of this journal: the first 6 events, to which the source has added 1").await;
    go_on(&to, "t", 3).await;
    go_on(&to, "t", 4).await;
    let says =
        "up to position 6; after that both have gone on, the destination by 2 events and the source by 1";
    refused(&to, says).await;
}

async fn what_was_left_is_neither_copied_nor_copied_to(site: Site) {
    let from = furnished(site).await;
    let to = elsewhere(&from);
    let moved = move_between(&from, &to).await.unwrap().moved.unwrap();
    let third = from.another();
    let error = move_between(&from, &third).await.unwrap_err();
    assert!(matches!(&error, CopyError::SourceMoved(told) if *told == moved), "{error}");
    assert_eq!(rows(&third).await, 0);
    let error = move_between(&to, &from).await.unwrap_err();
    assert!(matches!(&error, CopyError::DestinationMoved(told) if *told == moved), "{error}");
    assert!(!is_marked(&to).await);
    move_between(&to, &third).await.expect("from where it went it goes on");
}

async fn a_store_is_not_moved_onto_itself(site: Site) {
    let from = furnished(site).await;
    assert!(matches!(move_between(&from, &from).await, Err(CopyError::SameStore)));
    if from.is_file() {
        let link = from.path().join("link.db");
        std::os::unix::fs::symlink(from.journal_file(), &link).unwrap();
        let mut linked = crate::journal::sqlite::destination(&link).unwrap();
        let error = copy(&mut *source(&from).await, &mut *linked, Then::MarkMoved, &mut |_| ()).await;
        assert!(matches!(error, Err(CopyError::SameStore)));
    }
    assert!(!is_marked(&from).await);
}

on_both_stores!(
    async:
    a_copy_that_failed_before_the_commit_is_made_again,
    a_commit_whose_answer_was_lost_is_found_and_the_mark_made_up_for,
    a_mark_that_was_not_written_is_made_up_for,
    the_same_command_again_compares_and_changes_nothing,
    whoever_serves_at_the_destination_is_not_kept_waiting,
    a_destination_with_something_else_is_described_and_nothing_is_marked,
    what_was_left_is_neither_copied_nor_copied_to,
    a_store_is_not_moved_onto_itself,
);
