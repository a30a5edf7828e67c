-- Work from outside a run: jobs are submitted, paused, cancelled and retried by other processes while a run
-- goes on, and input has columns.

-- Counts the transactions of others than the run, in each of them: the run sees by this one number that
-- there is something to look at.
CREATE TABLE controls (
  control_id INTEGER PRIMARY KEY CHECK (control_id = 1),
  changes    INTEGER NOT NULL
) STRICT;
INSERT INTO controls VALUES (1, 0);

-- Jobs that are still being submitted. Their requests are there, in many transactions, and the job is not:
-- it appears in jobs when its last request is there. What a process that died left here is cleared away by
-- the next run or submission.
CREATE TABLE drafts (
  job_id           INTEGER PRIMARY KEY,
  name             TEXT NOT NULL,
  -- No request of it is before this one.
  first_request_id INTEGER NOT NULL,
  started_ms       INTEGER NOT NULL
) STRICT;

-- What stood beside an input URL in its file: a JSON object.
CREATE TABLE inputs (
  request_id INTEGER PRIMARY KEY REFERENCES requests (request_id),
  fields     TEXT NOT NULL CHECK (json_valid(fields))
) STRICT;

-- Input files that are in a job as they were then; what is unchanged is not read again.
CREATE TABLE input_files (
  job_id      INTEGER NOT NULL REFERENCES jobs (job_id),
  file        TEXT NOT NULL,
  file_bytes  INTEGER NOT NULL,
  modified_ns INTEGER NOT NULL,
  PRIMARY KEY (job_id, file)
) STRICT, WITHOUT ROWID;

DROP VIEW results;
DROP VIEW failures;
DROP VIEW skipped;

-- Not worked on until it is continued; decided that nothing more of it is asked for.
ALTER TABLE jobs ADD COLUMN paused_ms INTEGER;
ALTER TABLE jobs ADD COLUMN cancelled_ms INTEGER;
-- How often others than the run made requests of it ready.
ALTER TABLE jobs ADD COLUMN reopened INTEGER NOT NULL DEFAULT 0;
ALTER TABLE jobs DROP COLUMN state_name;
ALTER TABLE jobs ADD COLUMN state_name TEXT GENERATED ALWAYS AS
  (CASE WHEN state = 2 THEN 'replaced' WHEN cancelled_ms IS NOT NULL THEN 'cancelled'
   WHEN state = 1 THEN 'finished' WHEN paused_ms IS NOT NULL THEN 'paused' ELSE 'unfinished' END) VIRTUAL;

-- Whether it takes up every job that it finds.
ALTER TABLE runs ADD COLUMN is_for_all INTEGER NOT NULL DEFAULT 0;

-- Attempts before the request was retried by hand, of every kind but lost.
ALTER TABLE requests ADD COLUMN earlier INTEGER NOT NULL DEFAULT 0;
ALTER TABLE requests DROP COLUMN skip_reason_name;
ALTER TABLE requests ADD COLUMN skip_reason_name TEXT GENERATED ALWAYS AS
  (CASE skip_reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
   WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' WHEN 6 THEN 'cancelled'
   WHEN 7 THEN 'by_hand' END) VIRTUAL;
ALTER TABLE skips DROP COLUMN reason_name;
ALTER TABLE skips ADD COLUMN reason_name TEXT GENERATED ALWAYS AS
  (CASE reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
   WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' WHEN 6 THEN 'cancelled'
   WHEN 7 THEN 'by_hand' END) VIRTUAL;

-- What became of each URL that was asked for itself, wherever its redirects led.
CREATE VIEW results AS
SELECT
  r.request_id,
  j.name AS job,
  j.round,
  r.url,
  h.name AS host,
  f.state_name AS state,
  p.status,
  f.url AS final_url,
  first.status AS first_status,
  CASE WHEN r.redirect_to IS NULL THEN 0 ELSE
    (WITH RECURSIVE chain (id, next, hop) AS (
       SELECT r.request_id, r.redirect_to, 0
       UNION ALL
       SELECT n.request_id, n.redirect_to, hop + 1
       FROM chain JOIN requests n ON n.request_id = chain.next WHERE hop < 20)
     SELECT max(hop) FROM chain) END AS redirects,
  r.earlier + r.attempts + r.deferrals + r.lost AS attempts,
  f.cause,
  f.skip_reason_name AS skip_reason,
  r.depth,
  p.content_type,
  p.body_bytes,
  strftime('%Y-%m-%dT%H:%M:%fZ', p.fetched_ms / 1000.0, 'unixepoch') AS fetched_at,
  s.file AS segment,
  p.segment_offset,
  p.segment_bytes,
  found.url AS found_on,
  -- What stood beside the URL in its input file.
  (SELECT i.fields FROM inputs i WHERE i.request_id = r.request_id) AS input
FROM requests r
LEFT JOIN requests f ON f.request_id = CASE WHEN r.redirect_to IS NULL THEN r.request_id ELSE
    (WITH RECURSIVE chain (id, next, hop) AS (
       SELECT r.request_id, r.redirect_to, 0
       UNION ALL
       SELECT n.request_id, n.redirect_to, hop + 1
       FROM chain JOIN requests n ON n.request_id = chain.next WHERE hop < 20)
     SELECT id FROM chain ORDER BY hop DESC LIMIT 1) END
LEFT JOIN pages p ON p.request_id = f.request_id
LEFT JOIN pages first ON first.request_id = r.request_id
LEFT JOIN segments s ON s.segment_id = p.segment_id
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = r.host_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.is_hop = 0 AND r.state IN (2, 3, 5);

-- Requests that were given up, each with its last attempt.
CREATE VIEW failures AS
SELECT
  r.request_id,
  j.name AS job,
  j.round,
  h.name AS host,
  r.url,
  r.cause,
  a.fault,
  a.status,
  a.error,
  r.earlier + r.attempts + r.deferrals + r.lost AS attempts,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.started_ms / 1000.0, 'unixepoch') AS last_attempt_at,
  found.url AS found_on,
  -- A redirect's target has what stood beside the URL that led to it.
  (SELECT i.fields FROM inputs i WHERE i.request_id =
    CASE WHEN r.redirect_of IS NULL THEN r.request_id ELSE
      (WITH RECURSIVE chain (id, before, hop) AS (
         SELECT r.request_id, r.redirect_of, 0
         UNION ALL
         SELECT b.request_id, b.redirect_of, hop + 1
         FROM chain JOIN requests b ON b.request_id = chain.before WHERE hop < 20)
       SELECT id FROM chain ORDER BY hop DESC LIMIT 1) END) AS input
FROM requests r
LEFT JOIN attempts a ON a.attempt_id =
  (SELECT max(x.attempt_id) FROM attempts x WHERE x.request_id = r.request_id)
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = r.host_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.state = 3;

-- What was found and not asked for, and why.
CREATE VIEW skipped AS
SELECT j.name AS job, j.round, r.url, r.skip_reason_name AS reason, found.url AS found_on
FROM requests r
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.state = 5
UNION ALL
SELECT j.name, j.round, s.url, s.reason_name, found.url
FROM skips s
LEFT JOIN jobs j ON j.job_id = s.job_id
LEFT JOIN requests found ON found.request_id = s.parent_id;

-- What is still to be asked for.
CREATE VIEW open_requests AS
SELECT
  r.request_id,
  j.name AS job,
  j.round,
  h.name AS host,
  r.url,
  r.state_name AS state,
  r.depth,
  r.earlier + r.attempts + r.deferrals + r.lost AS attempts,
  EXISTS (SELECT 1 FROM in_flight f WHERE f.request_id = r.request_id) AS is_in_flight,
  CASE WHEN r.state = 4 THEN strftime('%Y-%m-%dT%H:%M:%fZ', r.due_ms / 1000.0, 'unixepoch') END AS due_at,
  found.url AS found_on,
  (SELECT i.fields FROM inputs i WHERE i.request_id = r.request_id) AS input
FROM requests r
JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = r.host_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.state IN (0, 4);
