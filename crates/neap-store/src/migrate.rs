//! How does a store come to the tables that this program knows?
//!
//! Migrations are embedded, run in order, in one transaction, and never backwards. `user_version` is the
//! number of the newest, so that everybody can see it.

use sqlx::{AssertSqlSafe, Connection, SqliteConnection};

/// A step from one version to the next.
pub(crate) struct Migration {
    version: i64,
    sql: &'static str,
}

/// Every step, in order.
pub(crate) const MIGRATIONS: &[Migration] = &[
    Migration {
        version: 1,
        sql: include_str!("../../../migrations/sqlite/0001_init.sql"),
    },
    Migration {
        version: 2,
        sql: include_str!("../../../migrations/sqlite/0002_originals.sql"),
    },
    Migration {
        version: 3,
        sql: include_str!("../../../migrations/sqlite/0003_outside.sql"),
    },
    Migration {
        version: 4,
        sql: include_str!("../../../migrations/sqlite/0004_store_id.sql"),
    },
    Migration {
        version: 5,
        sql: include_str!("../../../migrations/sqlite/0005_blame.sql"),
    },
    Migration {
        version: 6,
        sql: include_str!("../../../migrations/sqlite/0006_gateways.sql"),
    },
    Migration {
        version: 7,
        sql: include_str!("../../../migrations/sqlite/0007_links.sql"),
    },
    Migration {
        version: 8,
        sql: include_str!("../../../migrations/sqlite/0008_traps.sql"),
    },
];

/// The version that this program writes.
pub const KNOWN_VERSION: i64 = MIGRATIONS[MIGRATIONS.len() - 1].version;

/// `neap` in ASCII: what tells a store from the database of another program.
pub(crate) const APPLICATION_ID: i64 = 0x6e65_6170;

/// Brings a store from `user_version` to the newest of `migrations`.
pub(crate) async fn migrate(
    connection: &mut SqliteConnection,
    migrations: &[Migration],
) -> Result<(), sqlx::Error> {
    let mut transaction = connection.begin_with("BEGIN IMMEDIATE").await?;
    let found = version(&mut transaction).await?;
    for migration in migrations
        .iter()
        .filter(|migration| migration.version > found)
    {
        sqlx::raw_sql(migration.sql)
            .execute(&mut *transaction)
            .await?;
        let stamp = format!(
            "PRAGMA application_id = {APPLICATION_ID}; PRAGMA user_version = {};",
            migration.version
        );
        sqlx::raw_sql(AssertSqlSafe(stamp))
            .execute(&mut *transaction)
            .await?;
        tracing::debug!(version = migration.version, "store migrated");
    }
    transaction.commit().await
}

/// The version of a store, 0 for one without tables.
pub(crate) async fn version(connection: &mut SqliteConnection) -> Result<i64, sqlx::Error> {
    sqlx::query_scalar("PRAGMA user_version")
        .fetch_one(connection)
        .await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_the_missing_steps_run_and_a_broken_one_leaves_nothing() {
        let first = Migration {
            version: 1,
            sql: "CREATE TABLE a (x) STRICT_OFF",
        };
        let mut connection = SqliteConnection::connect("sqlite::memory:").await.unwrap();
        assert!(migrate(&mut connection, &[first]).await.is_err());
        assert_eq!(version(&mut connection).await.unwrap(), 0);

        let one = || Migration {
            version: 1,
            sql: "CREATE TABLE a (x INTEGER) STRICT;",
        };
        migrate(&mut connection, &[one()]).await.unwrap();
        let two = Migration {
            version: 2,
            sql: "CREATE TABLE b (x INTEGER) STRICT;",
        };
        migrate(&mut connection, &[one(), two]).await.unwrap();
        assert_eq!(version(&mut connection).await.unwrap(), 2);
        let tables: i64 = sqlx::query_scalar("SELECT count(*) FROM sqlite_schema")
            .fetch_one(&mut connection)
            .await
            .unwrap();
        assert_eq!(tables, 2);
    }
}
