//! Looking at upstreams: whether they answer, what they offer, and when they say that it has changed.
//!
//! None of it is a tool call, and none of it calls one.

use std::sync::{Arc, PoisonError};

use futures_util::future::join_all;
use tokio::{sync::mpsc, time::timeout};
use tokio_util::sync::CancellationToken;

use super::{InUse, Key, Slot, Upstreams, error};
use crate::upstream::{
    Catalog, Era, FailureKind, Probed, Target, Told, UpstreamError, catalog, envelope,
    failure::Failure,
    line::{Outgoing, next_id},
    way::Way,
};

/// Children of one connection that are asked what they offer.
const CHILDREN_ASKED_MAX: usize = 8;

/// What is heard of an upstream that is listened to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Heard {
    /// From here on nothing is missed.
    Open,
    /// Its tools have changed.
    Changed,
}

impl Upstreams {
    /// Finds out whether an upstream can be reached and which era it speaks, on a line of its own.
    ///
    /// # Errors
    /// With what went wrong and what to do, for an administrator.
    pub async fn probe(&self, target: &Target) -> Result<Probed, UpstreamError> {
        let way = self.0.way(target).map_err(|failure| error(target, failure))?;
        let probed = self.in_time(target, way.probe()).await;
        way.close().await;
        probed
    }

    /// Discovers all that an upstream defines, on a line of its own, and what a probe finds.
    ///
    /// # Errors
    /// With what went wrong and what to do, for an administrator.
    pub async fn catalog(&self, target: &Target) -> Result<(Catalog, Probed), UpstreamError> {
        self.catalog_on(target, self.0.way(target)).await
    }

    /// The same, for whoever is in no hurry: a child process waits for a place like any other.
    ///
    /// # Errors
    /// As [`Self::catalog`] does, and when no place is free in time.
    pub async fn catalog_in_place(&self, target: &Target) -> Result<(Catalog, Probed), UpstreamError> {
        self.catalog_on(target, self.0.way_in_place(target)).await
    }

    async fn catalog_on(
        &self,
        target: &Target,
        way: Result<Way, Failure>,
    ) -> Result<(Catalog, Probed), UpstreamError> {
        let way = way.map_err(|failure| error(target, failure))?;
        let work = async {
            let probed = way.probe().await?;
            let era = probed.era;
            let modern = era == Era::Modern;
            let way = &way;
            let catalog = catalog::discover(&self.0.limits, &probed.lists(), |list, cursor| async move {
                let (id, method) = (next_id(), list.method());
                let body = envelope::list(id, method, cursor.as_deref(), modern);
                way.ask(era, Outgoing::plain(id, method, body)).await
            })
            .await?;
            Ok((catalog, probed))
        };
        let found = self.in_time(target, work).await;
        way.close().await;
        found
    }

    pub(super) async fn in_time<T>(
        &self,
        target: &Target,
        work: impl Future<Output = Result<T, Failure>>,
    ) -> Result<T, UpstreamError> {
        let wait = self.0.limits.handshake_wait;
        timeout(wait, work)
            .await
            .unwrap_or_else(|_| {
                let detail = format!("did not answer within {} s", wait.as_secs());
                Err(Failure::sent(FailureKind::Timeout, detail))
            })
            .map_err(|failure| error(target, failure))
    }

    /// What is offered on ways that are open already, each as it is there: on the one that told
    /// of a change, or on all to child processes of a connection. What a process offers may be its own.
    pub async fn open_catalogs(
        &self,
        target: &Target,
        told: Option<&Told>,
    ) -> Vec<Result<Catalog, UpstreamError>> {
        let slots: Vec<Arc<Slot>> = match told {
            Some(Told { connection, generation, credential_generation, subject, declares }) => {
                let key = Key {
                    connection: connection.clone(),
                    generation: *generation,
                    credential_generation: *credential_generation,
                    subject: subject.clone(),
                    declares: declares.clone(),
                };
                self.0.open.get(&key).map(|slot| slot.clone()).into_iter().collect()
            }
            None => {
                let is_of_it =
                    |key: &Key| key.connection == target.connection && key.generation == target.generation;
                let children = self.0.open.iter().filter(|slot| slot.is_child() && is_of_it(slot.key()));
                children.take(CHILDREN_ASKED_MAX).map(|slot| slot.value().clone()).collect()
            }
        };
        let asked = slots.iter().map(|slot| async move {
            let in_use = InUse::new(slot, &self.0);
            let work = async { in_use.slot.way.list_where_open(&self.0.limits).await.transpose() };
            self.in_time(target, work).await.transpose()
        });
        join_all(asked).await.into_iter().flatten().collect()
    }

    /// Listens to an upstream, on a line of its own, until it ends that or `stop` fires. Answers whether
    /// it says such things at all.
    ///
    /// # Errors
    /// When it cannot be reached, or breaks off.
    pub async fn listen(
        &self,
        target: &Target,
        stop: &CancellationToken,
        mut heard: impl FnMut(Heard) + Send,
    ) -> Result<bool, UpstreamError> {
        let way = self.0.way(target).map_err(|failure| error(target, failure))?;
        let listening = async {
            if way.is_child() || !self.in_time(target, way.probe()).await?.list_changed {
                return Ok(false);
            }
            way.listen(&mut heard).await.map_err(|failure| error(target, failure))?;
            Ok(true)
        };
        let ended = tokio::select! {
            ended = listening => ended,
            () = stop.cancelled() => Ok(true),
        };
        way.close().await;
        ended
    }

    /// Who says that tools have changed, for whoever asks first.
    pub fn told(&self) -> Option<mpsc::Receiver<Told>> {
        self.0.hints_out.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
