//! The tables of the outbox, in both stores.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use async_trait::async_trait;
use proctor_domain::{Micros, Position};

use super::*;
use crate::journal::copying::Cells;
use crate::journal::rows::Statement;
use crate::journal::{
    Attempt, Deliveries, Delivery, DeliveryState, NEXT_OF_MAX, Rows, Step, StoreError, Waiting,
};

const SECOND: i64 = 1_000_000;

fn at(seconds: i64) -> Micros {
    Micros(seconds * SECOND)
}

fn enqueue(webhook: &str, position: u64) -> Step {
    Step::Enqueue {
        webhook: webhook.into(),
        position: Position(position),
        id: format!("dlv_{webhook}_{position}"),
        topic: "session.opened",
        failure: None,
    }
}

fn reach(webhook: &str, position: u64) -> Step {
    Step::Reach { webhook: webhook.into(), position: Position(position) }
}

fn ended(state: DeliveryState, seconds: i64) -> Attempt {
    let failure = (state != DeliveryState::Delivered).then_some("status");
    Attempt { at: at(seconds), state, due_at: at(seconds + 5), status: Some(500), failure }
}

async fn only(deliveries: &Deliveries, webhook: &str) -> Delivery {
    let mut all = deliveries.list(webhook, None, None, 10).await.unwrap();
    assert_eq!(all.len(), 1);
    all.remove(0)
}

async fn one_process_delivers_until_its_time_is_over_or_it_gives_it_back(site: Site) {
    let deliveries = site.deliveries().await;
    let lead = async |replica: &str, now: i64| {
        deliveries.lead(&replica.into(), at(now), at(now + 10)).await.unwrap()
    };
    assert!(lead("rep_1", 0).await);
    assert!(!lead("rep_2", 9).await);
    assert!(lead("rep_1", 9).await, "it goes on");
    assert!(!lead("rep_2", 18).await);
    assert!(lead("rep_2", 19).await, "it has said nothing for too long");
    assert!(!lead("rep_1", 20).await);
    deliveries.give_lead_back(&"rep_1".into()).await.unwrap();
    assert!(!lead("rep_1", 20).await, "it was not its own");
    deliveries.give_lead_back(&"rep_2".into()).await.unwrap();
    assert!(lead("rep_1", 20).await);
}

async fn the_same_events_again_change_nothing(site: Site) {
    let deliveries = site.deliveries().await;
    deliveries.take(&[enqueue("whk_1", 3), reach("whk_1", 4)], at(1)).await.unwrap();
    let first = only(&deliveries, "whk_1").await;
    assert!(deliveries.settle(&first, &ended(DeliveryState::Delivered, 2)).await.unwrap());
    deliveries.take(&[enqueue("whk_1", 3), reach("whk_1", 2)], at(9)).await.unwrap();
    assert_eq!(only(&deliveries, "whk_1").await.state, DeliveryState::Delivered);
    assert_eq!(deliveries.cursors().await.unwrap(), [("whk_1".to_owned(), Position(4))]);
}

async fn steps_that_cannot_all_be_taken_are_not_taken(site: Site) {
    let deliveries = site.deliveries().await;
    deliveries.take(&[enqueue("whk_1", 1)], at(1)).await.unwrap();
    // So that no cursor can be moved.
    site.sql("DROP TABLE webhook_cursors");
    deliveries.take(&[enqueue("whk_1", 2), reach("whk_1", 2)], at(1)).await.unwrap_err();
    assert_eq!(only(&deliveries, "whk_1").await.position, Position(1));
}

async fn an_attempt_counts_only_where_the_delivery_stands_as_it_did(site: Site) {
    let deliveries = site.deliveries().await;
    deliveries.take(&[enqueue("whk_1", 1)], at(1)).await.unwrap();
    let begun = only(&deliveries, "whk_1").await;
    assert_eq!((begun.attempts, begun.since, begun.status), (0, at(1), None));
    assert!(deliveries.settle(&begun, &ended(DeliveryState::Pending, 2)).await.unwrap());
    let late = deliveries.settle(&begun, &ended(DeliveryState::Delivered, 3)).await.unwrap();
    assert!(!late, "another process was quicker");
    let now = only(&deliveries, "whk_1").await;
    assert_eq!((now.state, now.attempts, now.due_at), (DeliveryState::Pending, 1, at(7)));
    assert_eq!((now.status, now.failure.as_deref(), now.ended_at), (Some(500), Some("status"), None));

    // Asked for by hand while it is on its way: it is sent once more.
    let again = Step::Again { webhook: "whk_1".into(), id: now.id.clone() };
    deliveries.take(&[again], at(8)).await.unwrap();
    assert!(!deliveries.settle(&now, &ended(DeliveryState::Delivered, 9)).await.unwrap());
    assert_eq!(deliveries.next_of(&[("whk_1", 9)]).await.unwrap()[0].attempts, 0);
}

async fn an_attempt_that_found_why_it_was_given_up_meanwhile_is_written_all_the_same(site: Site) {
    let deliveries = site.deliveries().await;
    deliveries.take(&[enqueue("whk_1", 1)], at(1)).await.unwrap();
    let begun = only(&deliveries, "whk_1").await;
    deliveries.take(&[Step::GiveUp { webhook: "whk_1".into(), failure: "gone" }], at(2)).await.unwrap();
    assert!(!deliveries.settle(&begun, &ended(DeliveryState::Delivered, 3)).await.unwrap());
    assert!(!deliveries.settle(&begun, &ended(DeliveryState::Pending, 3)).await.unwrap());
    let found = Attempt { status: Some(410), failure: Some("gone"), ..ended(DeliveryState::Dead, 3) };
    assert!(deliveries.settle(&begun, &found).await.unwrap());
    assert_eq!(only(&deliveries, "whk_1").await.status, Some(410));
}

async fn what_is_next_is_told_for_each_webhook_in_the_order_in_which_it_is_due(site: Site) {
    let deliveries = site.deliveries().await;
    let steps: Vec<_> = (1..=5).map(|position| enqueue("whk_1", position)).collect();
    deliveries.take(&steps, at(1)).await.unwrap();
    deliveries.take(&[enqueue("whk_2", 1)], at(30)).await.unwrap();
    let next = async |asked: &[(&str, usize)]| {
        let next = deliveries.next_of(asked).await.unwrap();
        next.into_iter().map(|delivery| (delivery.webhook, delivery.position.0)).collect::<Vec<_>>()
    };
    let of = |webhook: &str, positions: &[u64]| {
        positions.iter().map(|position| (webhook.to_owned(), *position)).collect::<Vec<_>>()
    };
    assert_eq!(next(&[("whk_1", 2)]).await, of("whk_1", &[1, 2]));
    let first = deliveries.next_of(&[("whk_1", 1)]).await.unwrap();
    deliveries.settle(&first[0], &ended(DeliveryState::Pending, 2)).await.unwrap();
    assert_eq!(next(&[("whk_1", 9)]).await, of("whk_1", &[2, 3, 4, 5, 1]));
    let both = [of("whk_1", &[2, 3]), of("whk_2", &[1])].concat();
    assert_eq!(next(&[("whk_2", 3), ("whk_1", 2), ("whk_3", 4)]).await, both);
    assert!(next(&[]).await.is_empty());

    let newest = deliveries.list("whk_1", Some(DeliveryState::Pending), Some(Position(4)), 2).await.unwrap();
    assert_eq!(newest.iter().map(|delivery| delivery.position.0).collect::<Vec<_>>(), [3, 2]);
    assert!(deliveries.of("whk_2", &newest[0].id).await.unwrap().is_none(), "it is another's");
    assert_eq!(deliveries.of("whk_1", &newest[0].id).await.unwrap().as_ref(), Some(&newest[0]));
}

async fn what_is_too_much_is_given_up_at_once_and_can_be_asked_for(site: Site) {
    let deliveries = site.deliveries().await;
    let Step::Enqueue { webhook, position, id, topic, .. } = enqueue("whk_1", 1) else { unreachable!() };
    let step = Step::Enqueue { webhook, position, id, topic, failure: Some("too_many_waiting") };
    deliveries.take(&[step], at(1)).await.unwrap();
    let dead = only(&deliveries, "whk_1").await;
    assert_eq!((dead.state, dead.ended_at, dead.attempts), (DeliveryState::Dead, Some(at(1)), 0));
    assert_eq!(dead.failure.as_deref(), Some("too_many_waiting"));
    deliveries.take(&[Step::Again { webhook: "whk_1".into(), id: dead.id }], at(2)).await.unwrap();
    assert_eq!(deliveries.next_of(&[("whk_1", 9)]).await.unwrap().len(), 1);
}

async fn what_is_over_is_kept_for_a_while_and_what_waits_is_kept(site: Site) {
    let deliveries = site.deliveries().await;
    let steps: Vec<_> = (1..=4).map(|position| enqueue("whk_1", position)).collect();
    deliveries.take(&steps, at(1)).await.unwrap();
    let all = deliveries.next_of(&[("whk_1", 9)]).await.unwrap();
    deliveries.settle(&all[0], &ended(DeliveryState::Delivered, 2)).await.unwrap();
    deliveries.settle(&all[1], &ended(DeliveryState::Delivered, 20)).await.unwrap();
    deliveries.settle(&all[2], &ended(DeliveryState::Dead, 2)).await.unwrap();
    let one_each = Waiting { pending: [("whk_1".to_owned(), 1)].into(), dead: 1 };
    assert_eq!(deliveries.waiting().await.unwrap(), one_each);
    assert_eq!(deliveries.prune(at(10), at(1)).await.unwrap(), 1);
    assert_eq!(deliveries.prune(at(10), at(10)).await.unwrap(), 1);
    let left = deliveries.list("whk_1", None, None, 9).await.unwrap();
    assert_eq!(left.iter().map(|delivery| delivery.position.0).collect::<Vec<_>>(), [4, 2]);

    deliveries.take(&[Step::GiveUp { webhook: "whk_1".into(), failure: "gone" }], at(30)).await.unwrap();
    let dead = deliveries.list("whk_1", Some(DeliveryState::Dead), None, 9).await.unwrap();
    assert_eq!((dead.len(), dead[0].failure.as_deref(), dead[0].ended_at), (1, Some("gone"), Some(at(30))));
}

/// Counts the questions.
struct Counting {
    rows: Arc<dyn Rows>,
    reads: Arc<AtomicUsize>,
}

#[async_trait]
impl Rows for Counting {
    async fn read(&self, doing: &'static str, statement: Statement) -> Result<Vec<Cells>, StoreError> {
        self.reads.fetch_add(1, Ordering::Relaxed);
        self.rows.read(doing, statement).await
    }

    async fn write(&self, doing: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, StoreError> {
        self.rows.write(doing, statements).await
    }
}

async fn many_webhooks_are_looked_at_by_few_questions(site: Site) {
    let reads = Arc::new(AtomicUsize::new(0));
    let deliveries =
        Deliveries::new(Arc::new(Counting { rows: site.rows().await, reads: Arc::clone(&reads) }));
    let webhooks: Vec<String> = (0..2 * NEXT_OF_MAX).map(|number| format!("whk_{number}")).collect();
    for (position, webhook) in (1..).zip(&webhooks) {
        deliveries.take(&[enqueue(webhook, position)], at(1)).await.unwrap();
    }
    let asked: Vec<_> = webhooks.iter().map(|webhook| (&**webhook, 3)).collect();
    for (some, questions) in [(0, 0), (1, 1), (NEXT_OF_MAX, 1), (NEXT_OF_MAX + 1, 2), (2 * NEXT_OF_MAX, 2)] {
        reads.store(0, Ordering::Relaxed);
        let next = deliveries.next_of(&asked[..some]).await.unwrap();
        let of: Vec<_> = next.iter().map(|delivery| delivery.webhook.clone()).collect();
        assert_eq!(of, webhooks[..some]);
        assert_eq!(reads.load(Ordering::Relaxed), questions, "for {some} webhooks");
    }
}

on_both_stores!(async:
    one_process_delivers_until_its_time_is_over_or_it_gives_it_back,
    the_same_events_again_change_nothing,
    steps_that_cannot_all_be_taken_are_not_taken,
    an_attempt_counts_only_where_the_delivery_stands_as_it_did,
    an_attempt_that_found_why_it_was_given_up_meanwhile_is_written_all_the_same,
    what_is_next_is_told_for_each_webhook_in_the_order_in_which_it_is_due,
    many_webhooks_are_looked_at_by_few_questions,
    what_is_too_much_is_given_up_at_once_and_can_be_asked_for,
    what_is_over_is_kept_for_a_while_and_what_waits_is_kept,
);
