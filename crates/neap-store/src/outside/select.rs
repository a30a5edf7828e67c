//! Which requests are meant?
//!
//! They are chosen on a connection that cannot write, among the rows of a view that people know, and
//! gathered before the first of them changes.

use futures_util::TryStreamExt;
use neap_core::RequestId;
use sqlx::{AssertSqlSafe, Row};

use crate::query::{bad_query, check_parameters, check_statement};
use crate::{JobRow, Reader, StoreError};

/// What requests are chosen by; all that is given must hold.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Chosen {
    /// Status of the last attempt, one of these; only of failures.
    pub statuses: Vec<u16>,
    /// Why it failed, one of these; only of failures.
    pub causes: Vec<String>,
    /// Whose fault its last attempt was, in one of these words; only of failures.
    pub faults: Vec<String>,
    /// The exact name of its host, one of these.
    pub hosts: Vec<String>,
    /// Its URL, one of these.
    pub urls: Vec<String>,
    /// A condition in SQL over the columns of the view.
    pub condition: Option<String>,
}

impl Reader {
    /// The failed requests of a job (rows of `failures`) that are meant.
    ///
    /// # Errors
    /// [`StoreError::BadQuery`] or [`StoreError::Refused`] if the condition is none.
    pub async fn failed_requests(
        &self,
        job: &JobRow,
        chosen: &Chosen,
    ) -> Result<Vec<RequestId>, StoreError> {
        self.choose("failures", job, chosen).await
    }

    /// The open requests of a job (rows of `open_requests`) that are meant, those in flight included.
    ///
    /// # Errors
    /// [`StoreError::BadQuery`] or [`StoreError::Refused`] if the condition is none.
    pub async fn open_requests(
        &self,
        job: &JobRow,
        chosen: &Chosen,
    ) -> Result<Vec<RequestId>, StoreError> {
        self.choose("open_requests", job, chosen).await
    }

    async fn choose(
        &self,
        view: &str,
        job: &JobRow,
        chosen: &Chosen,
    ) -> Result<Vec<RequestId>, StoreError> {
        let (sql, values) = text(view, chosen);
        check_statement(&sql)?;
        check_parameters(chosen.condition.as_deref().unwrap_or_default())?;
        let mut query = sqlx::query(AssertSqlSafe(sql))
            .persistent(false)
            .bind(job.name.clone())
            .bind(job.round);
        for value in values {
            query = query.bind(value);
        }
        let mut rows = query.fetch(self.pool());
        let mut found = Vec::new();
        while let Some(row) = rows.try_next().await.map_err(bad_query(self.path()))? {
            found.push(RequestId(row.try_get(0).map_err(bad_query(self.path()))?));
        }
        Ok(found)
    }
}

/// The query, and its values after name and round of the job. The condition stands in brackets and on lines of
/// its own, so that a comment in it ends there; whatever else is in it, the connection only reads, and
/// requests of other jobs are not touched.
fn text(view: &str, chosen: &Chosen) -> (String, Vec<String>) {
    let mut sql = format!("SELECT request_id FROM {view} WHERE job = ? AND round = ?");
    let mut values = Vec::new();
    for (column, wanted) in [
        ("status", serde_json::json!(chosen.statuses)),
        ("cause", serde_json::json!(chosen.causes)),
        ("fault", serde_json::json!(chosen.faults)),
        ("host", serde_json::json!(chosen.hosts)),
        ("url", serde_json::json!(chosen.urls)),
    ] {
        let is_given = wanted.as_array().is_some_and(|wanted| !wanted.is_empty());
        if is_given {
            sql.push_str(&format!(
                " AND {column} IN (SELECT value FROM json_each(?))"
            ));
            values.push(wanted.to_string());
        }
    }
    if let Some(condition) = &chosen.condition {
        sql.push_str(&format!(" AND (\n{condition}\n)"));
    }
    (sql, values)
}
