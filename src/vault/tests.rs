//! What the vault as a whole promises.

use super::*;

pub(super) const NOW_US: i64 = 1_790_000_000_000_000;

pub(super) fn new_vault() -> (MasterKeys, Vec<PurposeKeyRow>, Vault) {
    let master = MasterKeys::from(MasterKey::generate().0);
    let rows = Vault::missing_rows(&master, &[], NOW_US).unwrap();
    let vault = Vault::open(&master, &rows, NOW_US + 1).unwrap();
    (master, rows, vault)
}

#[test]
fn a_vault_opened_again_from_its_rows_hashes_and_opens_the_same() {
    let (master, rows, vault) = new_vault();
    let sealed = vault.seal_connection_secret("gmail", 3, "s3cret");
    let again = Vault::open(&master, &rows, NOW_US + 1).unwrap();
    assert_eq!(*again.open_connection_secret("gmail", 3, &sealed).unwrap(), "s3cret");
    assert_eq!(vault.user_indexes("ann"), again.user_indexes("ann"));
    assert_eq!(vault.digest(b"{}"), again.digest(b"{}"));
}

#[test]
fn missing_rows_adds_only_what_is_missing() {
    let (master, mut rows, _) = new_vault();
    assert_eq!(Vault::missing_rows(&master, &rows, NOW_US).unwrap(), []);
    rows.retain(|row| row.purpose != Purpose::Cursors.name());
    assert_eq!(
        Vault::open(&master, &rows, NOW_US + 1).unwrap_err(),
        VaultError::Missing { purpose: Purpose::Cursors }
    );
    let added = Vault::missing_rows(&master, &rows, NOW_US).unwrap();
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].purpose, "cursors");
}

#[test]
fn a_wrong_master_key_is_named_with_what_to_do_and_adds_no_rows() {
    let (master, mut rows, _) = new_vault();
    let other = MasterKeys::from(MasterKey::generate().0);
    let error = Vault::open(&other, &rows, NOW_US + 1).unwrap_err();
    assert_eq!(error, VaultError::WrongMasterKey { sealed_by: master.id(), tried: other.id() });
    assert!(error.to_string().contains("start with the master key"));
    rows.truncate(2);
    assert!(Vault::missing_rows(&other, &rows, NOW_US).is_err());
}

#[test]
fn a_purpose_key_moved_to_another_purpose_does_not_open() {
    let (master, mut rows, _) = new_vault();
    let digests = rows.iter().position(|row| row.purpose == "digests").unwrap();
    rows[digests].purpose = Purpose::BlindIndexes.name().to_owned();
    assert!(matches!(Vault::open(&master, &rows, NOW_US + 1), Err(VaultError::Damaged { .. })));
}

#[test]
fn the_newest_key_of_a_purpose_hashes() {
    let (master, rows, vault) = new_vault();
    let newer = Vault::missing_rows(&master, &[], NOW_US + 1).unwrap();
    let both: Vec<_> = newer.iter().chain(&rows).cloned().collect();
    let only_newer = Vault::open(&master, &newer, NOW_US + 1).unwrap();
    for order in [both.clone(), both.into_iter().rev().collect()] {
        let rotated = Vault::open(&master, &order, NOW_US + 1).unwrap();
        let of_both = [only_newer.user_indexes("ann"), vault.user_indexes("ann")].concat();
        assert_eq!(rotated.user_indexes("ann"), of_both, "the newer one is for what is new");
        let of_both = [only_newer.label_indexes("k", "v"), vault.label_indexes("k", "v")].concat();
        assert_eq!(rotated.label_indexes("k", "v"), of_both);
        assert_eq!(rotated.digest(b"{}"), only_newer.digest(b"{}"));
    }
}

#[test]
fn a_key_opens_from_the_first_and_seals_once_its_time_has_come() {
    let (_, rows, vault) = new_vault();
    let old_cursor = vault.seal_cursor(b"old").unwrap();
    let (user, digest) = (vault.user_indexes("ann")[0], vault.digest(b"{}"));
    let verifier = vault.pkce_verifier("", "lnk_1", 1).unwrap();
    let with_all: Vec<_> = Purpose::ALL
        .map(|purpose| vault.new_purpose_key(purpose, NOW_US + 1, NOW_US + 10))
        .into_iter()
        .chain(rows)
        .collect();
    vault.take_in(&with_all, NOW_US + 9).unwrap();
    assert!(with_all.iter().all(|row| vault.knows(&row.kid)));
    assert_eq!((vault.user_indexes("ann")[0], vault.user_indexes("ann").len()), (user, 2));
    assert_eq!(vault.digest(b"{}"), digest);
    assert_eq!(vault.pkce_verifier("", "lnk_1", 1), Some(verifier));
    let pkce_key = vault.pkce_key();
    let waits = uses(&with_all, NOW_US + 9).into_iter().filter(|(_, how)| *how == Use::Waits).count();
    assert_eq!(waits, Purpose::ALL.len());

    vault.take_in(&with_all, NOW_US + 10).unwrap();
    assert_ne!(vault.user_indexes("ann")[0], user);
    assert_eq!(vault.user_indexes("ann")[1], user);
    assert_ne!(vault.digest(b"{}"), digest);
    assert_eq!(vault.open_cursor(&old_cursor).unwrap(), b"old");
    assert_ne!(vault.pkce_key(), pkce_key);
    for key in ["", &pkce_key] {
        assert_eq!(vault.pkce_verifier(key, "lnk_1", 1), Some(verifier), "{key:?}");
    }
    assert_eq!(vault.pkce_verifier("nobody's", "lnk_1", 1), None);
    assert!(uses(&with_all, NOW_US + 10).iter().all(|(_, how)| matches!(how, Use::Seals | Use::Opens)));
}

#[test]
fn what_cannot_be_taken_in_leaves_everything_as_it_was() {
    let (_, rows, vault) = new_vault();
    let (_, others, _) = new_vault();
    let cursor = vault.seal_cursor(b"page 2").unwrap();
    assert!(vault.take_in(&[others, rows].concat(), NOW_US + 1).is_err());
    assert_eq!(vault.open_cursor(&cursor).unwrap(), b"page 2");
}

#[test]
fn a_key_for_a_purpose_of_a_newer_version_is_left_alone() {
    let (master, mut rows, _) = new_vault();
    rows.push(PurposeKeyRow {
        purpose: "from_the_future".to_owned(),
        kid: "k".to_owned(),
        sealed: vec![9; 80],
        created_at_us: NOW_US,
        active_at_us: NOW_US,
    });
    assert!(Vault::open(&master, &rows, NOW_US + 1).is_ok());
}

#[test]
fn a_connection_secret_opens_only_for_its_connection_and_generation() {
    let (_, _, vault) = new_vault();
    let sealed = vault.seal_connection_secret("gmail", 1, "s3cret");
    assert!(vault.open_connection_secret("gmail", 2, &sealed).is_err());
    assert!(vault.open_connection_secret("drive", 1, &sealed).is_err());
}

#[test]
fn indexes_and_digests_of_equal_text_differ_from_each_other() {
    let (_, _, vault) = new_vault();
    let all = [
        vault.user_indexes("ann")[0],
        vault.label_indexes("ann", "")[0],
        vault.label_indexes("", "ann")[0],
        vault.digest(b"ann"),
    ];
    for (at, left) in all.iter().enumerate() {
        assert!(all[at + 1..].iter().all(|right| left != right));
    }
}

#[test]
fn a_vault_prints_nothing() {
    assert_eq!(format!("{:?}", new_vault().2), "Vault(…)");
}
