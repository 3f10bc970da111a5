//! What rests on the keys by which users are found.

use std::cell::Cell;
use std::time::Duration;

use proctor_domain::api_key::Role;
use proctor_domain::subject::Subject;
use serde_json::json;

use super::super::caller::Caller;
use super::super::problem::Code;
use super::super::users;
use super::{ADMIN_KEY, World};
use crate::actors::ApiKeys;
use crate::opening::Registration;

impl World {
    /// Makes a new key for users' indexes and puts it in force, whatever time it is.
    async fn rotate_indexes(&self) {
        let path = "/api/v1/purpose-keys/blind_indexes/rotate";
        self.post(path, json!({ "after_seconds": 600 })).await.expect(200);
        let proctor = self.proctor();
        while proctor.purpose_keys.may_lack_some(&proctor.journal) {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        let rows = proctor.journal.reader().purpose_keys().await.unwrap();
        proctor.vault.take_in(&rows, i64::MAX).unwrap();
    }
}

#[actix_web::test]
async fn a_registration_that_was_prepared_before_a_rotation_is_prepared_anew_after_it() {
    let world = World::start().await;
    let proctor = world.proctor();
    let caller = Caller { key: ApiKeys::id_of(ADMIN_KEY), role: Role::Admin };
    let registration = Registration::new(&proctor.vault, caller.by(), "ada");
    let id = registration.subject();
    let prepared = Cell::new(0);
    let registered = caller
        .act::<Subject, _>(proctor, id, || async {
            let registering = registration.prepared(&proctor.directory, &proctor.keyring).await?;
            if prepared.replace(prepared.get() + 1) == 0 {
                // Between the look and the write, somebody else registers the same user by a new key.
                world.rotate_indexes().await;
                users::reference(proctor, &caller, "ada").await?;
            }
            Ok(registering)
        })
        .await;
    assert_eq!(registered.unwrap_err().code, Code::WrittenMeanwhile);
    assert_eq!(prepared.get(), 2);
    assert_ne!(users::reference(proctor, &caller, "ada").await.unwrap().as_str(), id);
    world.stop().await;
}
