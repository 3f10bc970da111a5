//! What the master key seals is sealed anew, in both stores.

use std::pin::pin;

use super::*;
use crate::journal::copying::Cell;
use crate::journal::rows::Statement;
use crate::journal::{SealedKind, SealedRows};
use crate::vault::{MasterKey, MasterKeys, OpenError, Vault};

const SUBJECTS: usize = 2_300;
/// Rows that one transaction replaces at most.
const WRITTEN_AT_ONCE: u64 = 100;

fn keys() -> (MasterKeys, MasterKeys, MasterKeys) {
    let (old, new) = (MasterKey::generate().0, MasterKey::generate().0);
    (old.clone().into(), MasterKeys::new(new.clone(), Some(old)), new.into())
}

/// Rows of every kind that are sealed under the first of `keys`.
async fn seal(site: &Site, keys: &MasterKeys, subjects: usize) {
    let rows = site.rows().await;
    let purpose_keys = Vault::missing_rows(keys, &[], 1).unwrap();
    let vault = Vault::open(keys, &purpose_keys, 1).unwrap();
    let mut statements = Vec::new();
    for subject in (0..subjects).map(|number| format!("sub_{number}")) {
        let (key, wrapped) = vault.new_subject_key(&subject);
        let user = key.seal_user(&subject, &format!("{subject}@example.com"));
        let index = vault.user_indexes(&subject)[0].to_vec();
        statements.push(Statement {
            sql: "INSERT INTO subjects (subject, user_index, user_sealed, wrapped_key) VALUES ($1, $2, $3, $4)",
            parameters: vec![Cell::Text(subject), Cell::Bytes(index), Cell::Bytes(user), Cell::Bytes(wrapped)],
        });
    }
    for (connection, generation) in [("gmail", 1), ("gmail", 2), ("drive", 1)] {
        let sealed = vault.seal_connection_secret(connection, generation, "s3cret");
        statements.push(Statement {
            sql: "INSERT INTO connection_secrets (connection, generation, sealed) VALUES ($1, $2, $3)",
            parameters: vec![connection.into(), Cell::Integer(generation.cast_signed()), Cell::Bytes(sealed)],
        });
    }
    let sealed = vault.seal_webhook_secret("whk_1", 1, "whsec");
    statements.push(Statement {
        sql: "INSERT INTO webhook_secrets (webhook, generation, sealed) VALUES ($1, $2, $3)",
        parameters: vec!["whk_1".into(), Cell::Integer(1), Cell::Bytes(sealed)],
    });
    for key in purpose_keys {
        statements.push(Statement {
            sql: "INSERT INTO purpose_keys (purpose, kid, sealed, created_at) VALUES ($1, $2, $3, $4)",
            parameters: vec![
                Cell::Text(key.purpose),
                Cell::Text(key.kid),
                Cell::Bytes(key.sealed),
                Cell::Integer(key.created_at_us),
            ],
        });
    }
    for statements in statements.chunks_mut(500) {
        let statements = statements.iter_mut().map(|statement| Statement {
            sql: statement.sql,
            parameters: std::mem::take(&mut statement.parameters),
        });
        rows.write("fill the tables", statements.collect()).await.unwrap();
    }
}

async fn everything_opens_with_the_new_key_alone_and_nothing_with_the_old(site: Site) {
    let (old, both, new) = keys();
    seal(&site, &old, SUBJECTS).await;
    let rows = SealedRows::new(site.rows().await);
    let before = rows.survey().await.unwrap();
    assert_eq!(before.not_under(old.id()), 0);
    assert_eq!(before.rows[&(SealedKind::Subjects, Some(old.id()))], SUBJECTS as u64);
    assert_eq!(before.rows[&(SealedKind::ConnectionSecrets, Some(old.id()))], 3);
    let total = before.total();
    assert_eq!(before.not_under(new.id()), total);

    let mut shown = Vec::new();
    let done = rows.reseal(&both, &mut |rows| shown.push(rows)).await.unwrap();
    assert_eq!((done.rows, done.closed), (total, 0));
    assert!(shown.len() > 20 && shown.is_sorted() && shown.last() == Some(&total), "{shown:?}");
    let after = rows.survey().await.unwrap();
    assert_eq!((after.total(), after.not_under(new.id())), (total, 0));

    let reader = site.reader().await;
    let purpose_keys = reader.purpose_keys().await.unwrap();
    assert!(Vault::open(&old, &purpose_keys, 1).is_err());
    let vault = Vault::open(&new, &purpose_keys, 1).unwrap();
    for subject in ["sub_0", "sub_1000", "sub_999", "sub_2299"] {
        let row = reader.subject_by_index(&vault.user_indexes(subject)[0]).await.unwrap().unwrap();
        let key = vault.unwrap_subject_key(subject, &row.wrapped_key).unwrap();
        assert_eq!(*key.open_user(subject, &row.user_sealed).unwrap(), format!("{subject}@example.com"));
    }
    let secret = reader.connection_secret("gmail", 2).await.unwrap().unwrap();
    assert_eq!(*vault.open_connection_secret("gmail", 2, &secret).unwrap(), "s3cret");
    assert_eq!(rows.reseal(&both, &mut |_| {}).await.unwrap().rows, 0, "nothing is left to do");
}

async fn whoever_is_interrupted_goes_on_and_proctors_own_keys_come_last(site: Site) {
    let (old, both, new) = keys();
    seal(&site, &old, SUBJECTS).await;
    let rows = SealedRows::new(site.rows().await);
    let total = rows.survey().await.unwrap().total();
    let (sender, mut receiver) = tokio::sync::mpsc::unbounded_channel();
    let mut show = |rows| sender.send(rows).unwrap();
    {
        let mut pass = pin!(rows.reseal(&both, &mut show));
        while tokio::select! {
            biased;
            rows = receiver.recv() => rows.unwrap() < 300,
            _ = &mut pass => panic!("it was too quick to be interrupted"),
        } {}
    }
    let halfway = rows.survey().await.unwrap();
    let left = halfway.not_under(new.id());
    assert!(left > 0 && left < total, "{left} of {total}");
    assert_eq!(halfway.rows.get(&(SealedKind::PurposeKeys, Some(new.id()))), None);
    let purpose_keys = site.reader().await.purpose_keys().await.unwrap();
    assert!(Vault::open(&new, &purpose_keys, 1).is_err(), "no server starts without the old key yet");
    assert!(Vault::open(&both, &purpose_keys, 1).is_ok());
    // What was being written when it was interrupted may have been written all the same.
    let rest = rows.reseal(&both, &mut |_| {}).await.unwrap().rows;
    assert!(rest <= left && rest + WRITTEN_AT_ONCE >= left, "{rest} of {left}");
    assert_eq!(rows.survey().await.unwrap().not_under(new.id()), 0);
}

async fn what_neither_key_opens_is_named_and_keeps_the_old_key_needed(site: Site) {
    let (old, both, new) = keys();
    seal(&site, &old, 3).await;
    let lost = MasterKeys::from(MasterKey::generate().0);
    let vault = Vault::open(&lost, &Vault::missing_rows(&lost, &[], 1).unwrap(), 1).unwrap();
    let sealed = hex::encode(vault.seal_webhook_secret("whk_2", 1, "whsec"));
    let bytes = if site.is_file() { format!("x'{sealed}'") } else { format!("'\\x{sealed}'") };
    site.sql(&format!(
        "INSERT INTO webhook_secrets (webhook, generation, sealed) VALUES ('whk_2', 1, {bytes})"
    ));
    let rows = SealedRows::new(site.rows().await);
    let done = rows.reseal(&both, &mut |_| {}).await.unwrap();
    assert_eq!((done.rows, done.closed), (3 + 3 + 1, 1));
    let [OpenError::OtherKey { what, sealed_by, .. }] = &done.because[..] else { panic!("{done:?}") };
    assert!(what.contains("whk_2") && *sealed_by == lost.id(), "{done:?}");
    let purpose_keys = site.reader().await.purpose_keys().await.unwrap();
    assert!(Vault::open(&new, &purpose_keys, 1).is_err(), "servers still need the old key");
}

on_both_stores!(async:
    everything_opens_with_the_new_key_alone_and_nothing_with_the_old,
    whoever_is_interrupted_goes_on_and_proctors_own_keys_come_last,
    what_neither_key_opens_is_named_and_keeps_the_old_key_needed,
);
