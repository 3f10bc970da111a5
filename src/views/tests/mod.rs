//! The views as a whole: what must hold however events come, in SQLite and in PostgreSQL.

mod accounts;
mod answers;
mod follow;
mod history;
mod home;
mod plans;
mod plans_postgres;
mod rebuild;
mod replicas;

use home::Home;

/// Makes tests of functions that take a [`Home`]: one in SQLite and one in PostgreSQL.
macro_rules! on_both_stores {
    ($($name:ident),+ $(,)?) => {
        mod sqlite {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Home::sqlite()).await;
            })+
        }

        mod postgres {
            $(#[tokio::test]
            async fn $name() {
                super::$name(&super::Home::postgres()).await;
            })+
        }
    };
}
use on_both_stores;
