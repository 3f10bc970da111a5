//! Tables beside the journal, through the connections that everybody reads with.

use async_trait::async_trait;
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::query::Query;
use sqlx::{Column as _, Connection as _, Postgres, Row as _, TypeInfo as _};

use super::read::PostgresReader;
use crate::journal::copying::{Cell, Cells};
use crate::journal::rows::{Rows, Statement};
use crate::journal::store::StoreError;

fn asked(statement: &Statement) -> Query<'_, Postgres, PgArguments> {
    statement.parameters.iter().fold(sqlx::query(statement.sql), |query, cell| match cell {
        Cell::Integer(number) => query.bind(*number),
        Cell::Text(text) => query.bind(text),
        Cell::Bytes(bytes) => query.bind(bytes),
    })
}

fn cells(row: &PgRow) -> Result<Cells, sqlx::Error> {
    let cell = |(index, column): (usize, &sqlx::postgres::PgColumn)| {
        Ok(match column.type_info().name() {
            "INT8" => Cell::Integer(row.try_get(index)?),
            "BYTEA" => Cell::Bytes(row.try_get(index)?),
            _ => Cell::Text(row.try_get(index)?),
        })
    };
    row.columns().iter().enumerate().map(cell).collect()
}

#[async_trait]
impl Rows for PostgresReader {
    async fn read(&self, doing: &'static str, statement: Statement) -> Result<Vec<Cells>, StoreError> {
        self.all(doing, asked(&statement), cells).await
    }

    async fn write(&self, doing: &'static str, statements: Vec<Statement>) -> Result<Vec<u64>, StoreError> {
        self.with(doing, async |connection| {
            let mut transaction = connection.begin().await?;
            let mut concerned = Vec::with_capacity(statements.len());
            for statement in &statements {
                concerned.push(asked(statement).execute(&mut *transaction).await?.rows_affected());
            }
            transaction.commit().await?;
            Ok(concerned)
        })
        .await
    }
}
