//! How many child processes there may be: in all, and of one connection.
//!
//! **Invariants.** A place is taken before a process starts, and given back when it has been waited
//! for, so that there are never more processes than places, also while some are ending.

use std::{
    collections::HashMap,
    pin::pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::sync::Notify;

/// See the module.
pub(in crate::upstream) struct Places {
    in_all: usize,
    of_each: usize,
    taken: Mutex<HashMap<String, usize>>,
    given_back: Notify,
}

/// One process's place. Dropping it gives it back.
pub(in crate::upstream) struct Place {
    places: Arc<Places>,
    connection: String,
}

impl Places {
    /// So many in all, and so many of one connection.
    pub fn new(in_all: usize, of_each: usize) -> Arc<Self> {
        let (taken, given_back) = (Mutex::default(), Notify::new());
        Arc::new(Self { in_all, of_each, taken, given_back })
    }

    /// Waits until there is one.
    pub async fn take(self: &Arc<Self>, connection: &str) -> Place {
        loop {
            let mut given_back = pin!(self.given_back.notified());
            // From here on: one that is given back after the look is not missed.
            given_back.as_mut().enable();
            if let Some(place) = self.try_take(connection) {
                return place;
            }
            given_back.await;
        }
    }

    fn try_take(self: &Arc<Self>, connection: &str) -> Option<Place> {
        let mut taken = self.lock();
        let of_this = taken.get(connection).copied().unwrap_or(0);
        if of_this >= self.of_each || taken.values().sum::<usize>() >= self.in_all {
            return None;
        }
        taken.insert(connection.to_owned(), of_this + 1);
        Some(Place { places: self.clone(), connection: connection.to_owned() })
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<String, usize>> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        match taken.get_mut(&self.connection) {
            Some(count) if *count > 1 => *count -= 1,
            _ => drop(taken.remove(&self.connection)),
        }
        drop(taken);
        self.places.given_back.notify_waiters();
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn there_are_no_more_than_places_in_all_and_of_one_connection() {
        let places = Places::new(3, 2);
        let first = places.try_take("notes").unwrap();
        let _second = places.try_take("notes").unwrap();
        assert!(places.try_take("notes").is_none(), "more of one connection than may be");
        let _third = places.try_take("mail").unwrap();
        assert!(places.try_take("calendar").is_none(), "more in all than may be");
        drop(first);
        assert!(places.try_take("notes").is_some());
        assert!(places.lock().contains_key("mail"));
    }

    #[tokio::test]
    async fn who_waits_gets_the_place_that_is_given_back() {
        let places = Places::new(1, 1);
        let place = places.take("notes").await;
        let waiting = tokio::spawn({
            let places = places.clone();
            async move { places.take("mail").await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        drop(place);
        let place = timeout(Duration::from_secs(5), waiting).await.unwrap().unwrap();
        assert_eq!(place.connection, "mail");
        drop(place);
        assert!(places.lock().is_empty(), "connections that have none are forgotten");
    }
}
