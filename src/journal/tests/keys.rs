//! When API keys were used.

use std::collections::BTreeMap;

use proctor_domain::Micros;

use super::*;
use crate::journal::KeyUses;

async fn the_latest_use_of_a_key_stands(site: Site) {
    site.open("rep_1").await.stop().await;
    let uses = KeyUses::new(site.rows().await);
    assert_eq!(uses.read().await.unwrap(), BTreeMap::new());
    uses.write(&BTreeMap::new()).await.unwrap();
    uses.write(&BTreeMap::from([("one".into(), Micros(5))])).await.unwrap();
    uses.write(&BTreeMap::from([("one".into(), Micros(3)), ("two".into(), Micros(4))])).await.unwrap();
    let expected = BTreeMap::from([("one".into(), Micros(5)), ("two".into(), Micros(4))]);
    assert_eq!(uses.read().await.unwrap(), expected);
}

on_both_stores!(async:
    the_latest_use_of_a_key_stands,
);
