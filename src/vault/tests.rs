//! What the vault as a whole promises.

use super::*;

pub(super) const NOW_US: i64 = 1_790_000_000_000_000;

pub(super) fn new_vault() -> (MasterKeys, Vec<PurposeKeyRow>, Vault) {
    let master = MasterKeys::from(MasterKey::generate().0);
    let rows = Vault::missing_rows(&master, &[], NOW_US).unwrap();
    let vault = Vault::open(&master, &rows).unwrap();
    (master, rows, vault)
}

#[test]
fn a_vault_opened_again_from_its_rows_hashes_and_opens_the_same() {
    let (master, rows, vault) = new_vault();
    let sealed = vault.seal_connection_secret("gmail", 3, "s3cret");
    let again = Vault::open(&master, &rows).unwrap();
    assert_eq!(*again.open_connection_secret("gmail", 3, &sealed).unwrap(), "s3cret");
    assert_eq!(vault.user_index("ann"), again.user_index("ann"));
    assert_eq!(vault.digest(b"{}"), again.digest(b"{}"));
}

#[test]
fn missing_rows_adds_only_what_is_missing() {
    let (master, mut rows, _) = new_vault();
    assert_eq!(Vault::missing_rows(&master, &rows, NOW_US).unwrap(), []);
    rows.retain(|row| row.purpose != Purpose::Cursors.name());
    assert_eq!(Vault::open(&master, &rows).unwrap_err(), VaultError::Missing { purpose: Purpose::Cursors });
    let added = Vault::missing_rows(&master, &rows, NOW_US).unwrap();
    assert_eq!(added.len(), 1);
    assert_eq!(added[0].purpose, "cursors");
}

#[test]
fn a_wrong_master_key_is_named_with_what_to_do_and_adds_no_rows() {
    let (master, mut rows, _) = new_vault();
    let other = MasterKeys::from(MasterKey::generate().0);
    let error = Vault::open(&other, &rows).unwrap_err();
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
    assert!(matches!(Vault::open(&master, &rows), Err(VaultError::Damaged { .. })));
}

#[test]
fn the_newest_key_of_a_purpose_hashes() {
    let (master, rows, vault) = new_vault();
    let newer = Vault::missing_rows(&master, &[], NOW_US + 1).unwrap();
    let both: Vec<_> = newer.iter().chain(&rows).cloned().collect();
    let only_newer = Vault::open(&master, &newer).unwrap();
    for order in [both.clone(), both.into_iter().rev().collect()] {
        let rotated = Vault::open(&master, &order).unwrap();
        assert_eq!(rotated.user_index("ann"), only_newer.user_index("ann"));
        assert_ne!(rotated.user_index("ann"), vault.user_index("ann"));
    }
}

#[test]
fn a_key_for_a_purpose_of_a_newer_version_is_left_alone() {
    let (master, mut rows, _) = new_vault();
    rows.push(PurposeKeyRow {
        purpose: "from_the_future".to_owned(),
        kid: "k".to_owned(),
        sealed: vec![9; 80],
        created_at_us: NOW_US,
    });
    assert!(Vault::open(&master, &rows).is_ok());
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
        vault.user_index("ann"),
        vault.label_index("ann", ""),
        vault.label_index("", "ann"),
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
