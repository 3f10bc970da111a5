//! The requests that a child has not answered yet.
//!
//! **Invariants.** Each request is settled once: by its answer, by the child's end or by whoever
//! waits going away. After the child's end none can be added.

use std::{
    collections::HashMap,
    sync::{Mutex, MutexGuard, PoisonError},
};

use serde_json::value::RawValue;
use tokio::sync::{mpsc, oneshot};

use crate::upstream::{FailureKind, envelope::Answer, failure::Failure};

/// Progress notifications that wait for one caller; further ones are dropped, as the next one
/// says more.
const NOTIFICATIONS_WAITING_MAX: usize = 64;

struct Waiter {
    answer: oneshot::Sender<Result<Answer, Failure>>,
    notifications: mpsc::Sender<Box<RawValue>>,
}

/// What a waiting caller holds; dropping it withdraws the request.
pub(super) struct Waiting<'a> {
    pending: &'a Pending,
    id: u64,
    pub answer: oneshot::Receiver<Result<Answer, Failure>>,
    pub notifications: mpsc::Receiver<Box<RawValue>>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Ok(waiters) = &mut *self.pending.lock() {
            waiters.remove(&self.id);
        }
    }
}

/// All unanswered requests of one child, or why it ended.
pub(super) struct Pending(Mutex<Result<HashMap<u64, Waiter>, Failure>>);

impl Pending {
    pub fn new() -> Self {
        Self(Mutex::new(Ok(HashMap::new())))
    }

    fn lock(&self) -> MutexGuard<'_, Result<HashMap<u64, Waiter>, Failure>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a request; fails when the child has ended.
    pub fn add(&self, id: u64) -> Result<Waiting<'_>, Failure> {
        let (answer_in, answer) = oneshot::channel();
        let (notifications_in, notifications) = mpsc::channel(NOTIFICATIONS_WAITING_MAX);
        match &mut *self.lock() {
            Ok(waiters) => waiters.insert(id, Waiter { answer: answer_in, notifications: notifications_in }),
            Err(ended) => return Err(ended.clone()),
        };
        Ok(Waiting { pending: self, id, answer, notifications })
    }

    /// Whether somebody still waits for this request.
    pub fn has(&self, id: u64) -> bool {
        self.lock().as_ref().is_ok_and(|waiters| waiters.contains_key(&id))
    }

    /// Settles a request. An answer to one that nobody waits for any more is dropped.
    pub fn settle(&self, id: u64, answer: Result<Answer, Failure>) {
        let waiter = match &mut *self.lock() {
            Ok(waiters) => waiters.remove(&id),
            Err(_) => None,
        };
        if let Some(waiter) = waiter {
            let _gone = waiter.answer.send(answer);
        }
    }

    /// Hands a progress notification to the caller whose token it names.
    pub fn notify(&self, id: u64, notification: Box<RawValue>) {
        if let Ok(waiters) = &*self.lock()
            && let Some(waiter) = waiters.get(&id)
        {
            let _full_or_gone = waiter.notifications.try_send(notification);
        }
    }

    /// Fails all requests, now and from now on. The first reason stays.
    pub fn end(&self, kind: FailureKind, detail: String) {
        let mut state = self.lock();
        if state.is_err() {
            return;
        }
        let waiters = std::mem::replace(&mut *state, Err(Failure::unsent(kind, detail.clone())));
        drop(state);
        for (_, waiter) in waiters.into_iter().flatten() {
            let _gone = waiter.answer.send(Err(Failure::sent(kind, detail.clone())));
        }
    }

    pub fn has_ended(&self) -> bool {
        self.lock().is_err()
    }
}
