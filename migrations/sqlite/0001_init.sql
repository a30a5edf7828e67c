-- The store, version 1. Tables and views are a public interface: people query them.
--
-- Names: times end in _ms (Unix milliseconds, UTC), sizes in _bytes; a code has a virtual column with
-- its word beside it. Views write times as RFC 3339 and run on SQLite 3.40 and later.
-- Foreign keys are for readers (Datasette shows labels by them); the writer does not check them.

CREATE TABLE store_meta (
  name  TEXT PRIMARY KEY,
  value TEXT NOT NULL
) STRICT;

-- One round of a job: each time that a job is submitted anew.
CREATE TABLE jobs (
  job_id       INTEGER PRIMARY KEY,
  name         TEXT NOT NULL,
  round        INTEGER NOT NULL,
  spec         TEXT NOT NULL CHECK (json_valid(spec)),
  scope_roots  TEXT NOT NULL CHECK (json_valid(scope_roots)),
  state        INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 1, 2)),
  submitted_ms INTEGER NOT NULL,
  finished_ms  INTEGER,
  -- Requests by state, kept with every change; together they are all requests of the job.
  ready        INTEGER NOT NULL DEFAULT 0,
  waiting      INTEGER NOT NULL DEFAULT 0,
  done         INTEGER NOT NULL DEFAULT 0,
  failed       INTEGER NOT NULL DEFAULT 0,
  skipped      INTEGER NOT NULL DEFAULT 0,
  -- Done requests whose answer was no redirect; what crawl.max_pages counts.
  pages        INTEGER NOT NULL DEFAULT 0,
  -- Of those, pages with a status below 300 or 304: what the job got.
  fetched      INTEGER NOT NULL DEFAULT 0,
  state_name   TEXT GENERATED ALWAYS AS
    (CASE state WHEN 0 THEN 'unfinished' WHEN 1 THEN 'finished' ELSE 'replaced' END) VIRTUAL,
  UNIQUE (name, round)
) STRICT;

-- One process working on the store; the epoch fences what it writes.
CREATE TABLE runs (
  epoch      INTEGER PRIMARY KEY,
  node       TEXT NOT NULL,
  pid        INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  ended_ms   INTEGER,
  -- 'closed': it said so itself. 'lost': a later run found it dead.
  ending     TEXT CHECK (ending IS NULL OR ending IN ('closed', 'lost'))
) STRICT;

-- Scheme, name and port: what limits, rate and robots are kept by.
CREATE TABLE hosts (
  host_id           INTEGER PRIMARY KEY,
  name              TEXT NOT NULL UNIQUE,
  -- hash of the registrable domain, 0 to 1023: the unit of ownership once a crawl is distributed.
  partition         INTEGER NOT NULL,
  attempts          INTEGER NOT NULL DEFAULT 0,
  ok                INTEGER NOT NULL DEFAULT 0,
  done              INTEGER NOT NULL DEFAULT 0,
  failed            INTEGER NOT NULL DEFAULT 0,
  -- Attempts with outcome 'overload', and what they and others were.
  gateway_errors    INTEGER NOT NULL DEFAULT 0,
  http_502          INTEGER NOT NULL DEFAULT 0,
  http_503          INTEGER NOT NULL DEFAULT 0,
  http_429          INTEGER NOT NULL DEFAULT 0,
  timeouts          INTEGER NOT NULL DEFAULT 0,
  -- How it stood at limiter_ms under the run limiter_epoch; written every two seconds while it changes.
  -- limiter is what the limiter itself remembers.
  limiter           TEXT CHECK (limiter IS NULL OR json_valid(limiter)),
  limiter_ms        INTEGER,
  limiter_epoch     INTEGER REFERENCES runs (epoch),
  concurrency_limit REAL,
  -- The host whose limit it shares (limits.key = "domain"), and whose limit_changes are its own; NULL: none.
  shares_limit_of   INTEGER REFERENCES hosts (host_id),
  in_flight         INTEGER,
  requests_per_s    REAL,
  -- Latency to the header that 95 of 100 answers stay below.
  p95_us            INTEGER,
  -- It did nothing but fail since then and is only probed, next at that time.
  only_probed_since_ms INTEGER,
  next_probe_ms     INTEGER,
  -- It asked to be left alone until then.
  held_until_ms     INTEGER,
  is_given_up       INTEGER NOT NULL DEFAULT 0,
  -- Nothing else is asked before its robots file is known.
  waits_for_robots  INTEGER NOT NULL DEFAULT 0,
  robots_failing_since_ms INTEGER,
  robots_next_ms    INTEGER,
  robots_status     INTEGER,
  robots_body       BLOB,
  robots_fetched_ms INTEGER,
  robots_expires_ms INTEGER
) STRICT;

-- How the limit of a host went: the newest 1,000 changes of each.
CREATE TABLE limit_changes (
  host_id      INTEGER NOT NULL REFERENCES hosts (host_id),
  -- Counted from 1 for each host, those that are gone included.
  number       INTEGER NOT NULL,
  epoch        INTEGER NOT NULL REFERENCES runs (epoch),
  changed_ms   INTEGER NOT NULL,
  limit_before REAL NOT NULL,
  limit_after  REAL NOT NULL,
  reason       TEXT NOT NULL,
  PRIMARY KEY (host_id, number)
) STRICT, WITHOUT ROWID;

-- One URL that a job asks for.
CREATE TABLE requests (
  request_id  INTEGER PRIMARY KEY,
  job_id      INTEGER NOT NULL REFERENCES jobs (job_id),
  host_id     INTEGER NOT NULL REFERENCES hosts (host_id),
  -- Keyed hash of job and URL (and hop, for a redirect through its own chain).
  fingerprint INTEGER NOT NULL,
  state       INTEGER NOT NULL DEFAULT 0 CHECK (state IN (0, 2, 3, 4, 5)),
  priority    INTEGER NOT NULL DEFAULT 0,
  depth       INTEGER NOT NULL DEFAULT 0,
  -- Attempts that were charged; failed ones that were not; times that a run died meanwhile.
  attempts    INTEGER NOT NULL DEFAULT 0,
  deferrals   INTEGER NOT NULL DEFAULT 0,
  lost        INTEGER NOT NULL DEFAULT 0,
  -- Redirects that led here, and whether nothing else did.
  hops        INTEGER NOT NULL DEFAULT 0,
  is_hop      INTEGER NOT NULL DEFAULT 0,
  due_ms      INTEGER NOT NULL DEFAULT 0,
  skip_reason INTEGER,
  parent_id   INTEGER REFERENCES requests (request_id),
  redirect_of INTEGER REFERENCES requests (request_id),
  redirect_to INTEGER REFERENCES requests (request_id),
  cause       TEXT,
  url         TEXT NOT NULL,
  state_name  TEXT GENERATED ALWAYS AS
    (CASE state WHEN 0 THEN 'ready' WHEN 2 THEN 'done' WHEN 3 THEN 'failed' WHEN 4 THEN 'waiting'
     ELSE 'skipped' END) VIRTUAL,
  skip_reason_name TEXT GENERATED ALWAYS AS
    (CASE skip_reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
     WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' END) VIRTUAL,
  UNIQUE (host_id, fingerprint)
) STRICT;
CREATE INDEX requests_ready   ON requests (host_id, job_id, priority, due_ms) WHERE state = 0;
CREATE INDEX requests_waiting ON requests (job_id, due_ms, host_id) WHERE state = 4;
CREATE INDEX requests_failed  ON requests (host_id) WHERE state = 3;
CREATE INDEX requests_skipped ON requests (job_id) WHERE state = 5;
CREATE INDEX requests_hop     ON requests (host_id, fingerprint) WHERE is_hop = 1;

-- The hosts of a job's input URLs.
CREATE TABLE input_hosts (
  job_id  INTEGER NOT NULL REFERENCES jobs (job_id),
  host_id INTEGER NOT NULL REFERENCES hosts (host_id),
  PRIMARY KEY (job_id, host_id)
) STRICT, WITHOUT ROWID;

-- Requests that a run has sent and not recorded.
CREATE TABLE in_flight (
  request_id INTEGER PRIMARY KEY,
  epoch      INTEGER NOT NULL,
  started_ms INTEGER NOT NULL,
  is_alone   INTEGER NOT NULL
) STRICT;

-- Every try of a request.
CREATE TABLE attempts (
  attempt_id    INTEGER PRIMARY KEY,
  request_id    INTEGER NOT NULL REFERENCES requests (request_id),
  host_id       INTEGER NOT NULL REFERENCES hosts (host_id),
  epoch         INTEGER NOT NULL REFERENCES runs (epoch),
  number        INTEGER NOT NULL,
  started_ms    INTEGER NOT NULL,
  dns_us        INTEGER,
  connect_us    INTEGER,
  first_byte_us INTEGER,
  duration_us   INTEGER,
  status        INTEGER,
  outcome       INTEGER NOT NULL,
  cause         TEXT,
  fault         TEXT,
  error         TEXT,
  is_charged    INTEGER NOT NULL,
  backoff_ms    INTEGER,
  body_bytes    INTEGER NOT NULL DEFAULT 0,
  host_limit    REAL,
  in_flight     INTEGER,
  outcome_name  TEXT GENERATED ALWAYS AS
    (CASE outcome WHEN 0 THEN 'success' WHEN 1 THEN 'redirect' WHEN 2 THEN 'gone' WHEN 3 THEN 'refused'
     WHEN 4 THEN 'client_error' WHEN 5 THEN 'rate_limited' WHEN 6 THEN 'overload'
     WHEN 7 THEN 'server_error' WHEN 8 THEN 'transient' WHEN 9 THEN 'permanent'
     ELSE 'internal' END) VIRTUAL
) STRICT;
CREATE INDEX attempts_request  ON attempts (request_id);
CREATE INDEX attempts_overload ON attempts (host_id, cause) WHERE outcome = 6;

-- Where bodies are: WARC files beside the database.
CREATE TABLE segments (
  segment_id INTEGER PRIMARY KEY,
  file       TEXT NOT NULL UNIQUE,
  epoch      INTEGER NOT NULL REFERENCES runs (epoch),
  -- What is committed; a longer file has a tail that belongs to nothing.
  file_bytes INTEGER NOT NULL,
  sealed_ms  INTEGER
) STRICT;

-- The final answer of a request.
CREATE TABLE pages (
  request_id     INTEGER PRIMARY KEY REFERENCES requests (request_id),
  status         INTEGER NOT NULL,
  fetched_ms     INTEGER NOT NULL,
  content_type   TEXT,
  body_bytes     INTEGER NOT NULL,
  -- The gzip member with its WARC response record.
  segment_id     INTEGER REFERENCES segments (segment_id),
  segment_offset INTEGER,
  segment_bytes  INTEGER
) STRICT;

-- Links that were not asked for: 1,000 for each job and reason, and how many there were in all.
CREATE TABLE skips (
  skip_id     INTEGER PRIMARY KEY,
  job_id      INTEGER NOT NULL REFERENCES jobs (job_id),
  reason      INTEGER NOT NULL,
  parent_id   INTEGER REFERENCES requests (request_id),
  url         TEXT NOT NULL,
  reason_name TEXT GENERATED ALWAYS AS
    (CASE reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
     WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' END) VIRTUAL,
  UNIQUE (job_id, reason, url)
) STRICT;
CREATE TABLE skip_counts (
  job_id INTEGER NOT NULL REFERENCES jobs (job_id),
  reason INTEGER NOT NULL,
  -- Times that a link was skipped, the same link on another page included; and rows in skips.
  links  INTEGER NOT NULL,
  kept   INTEGER NOT NULL,
  PRIMARY KEY (job_id, reason)
) STRICT;

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
  r.attempts + r.deferrals + r.lost AS attempts,
  f.cause,
  f.skip_reason_name AS skip_reason,
  r.depth,
  p.content_type,
  p.body_bytes,
  strftime('%Y-%m-%dT%H:%M:%fZ', p.fetched_ms / 1000.0, 'unixepoch') AS fetched_at,
  s.file AS segment,
  p.segment_offset,
  p.segment_bytes,
  found.url AS found_on
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
  r.attempts + r.deferrals + r.lost AS attempts,
  strftime('%Y-%m-%dT%H:%M:%fZ', a.started_ms / 1000.0, 'unixepoch') AS last_attempt_at,
  found.url AS found_on
FROM requests r
LEFT JOIN attempts a ON a.attempt_id =
  (SELECT max(x.attempt_id) FROM attempts x WHERE x.request_id = r.request_id)
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = r.host_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.state = 3;

-- Which hosts answered 502, 503, 504 or 520 to 524, how often, and what it cost.
CREATE VIEW bad_gateways AS
SELECT
  h.name AS host,
  a.cause,
  count(*) AS answers,
  count(DISTINCT a.request_id) AS requests,
  round(1.0 * count(*) / max(h.attempts, 1), 4) AS share_of_attempts,
  -- Requests that were given up, whatever for in the end, and had such an answer.
  (SELECT count(*) FROM requests r
   WHERE r.state = 3 AND r.host_id = a.host_id AND EXISTS (SELECT 1 FROM attempts x
     WHERE x.request_id = r.request_id AND x.outcome = 6 AND x.cause = a.cause)) AS pages_lost,
  strftime('%Y-%m-%dT%H:%M:%fZ', min(a.started_ms) / 1000.0, 'unixepoch') AS first_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', max(a.started_ms) / 1000.0, 'unixepoch') AS last_at
FROM attempts a
JOIN hosts h ON h.host_id = a.host_id
WHERE a.outcome = 6
GROUP BY a.host_id, a.cause;

-- How each host does.
CREATE VIEW host_health AS
SELECT
  h.name AS host,
  h.concurrency_limit,
  -- A run that has ended has nothing in flight, and no pace.
  iif(run.epoch IS NULL, 0, coalesce(h.in_flight, 0)) AS in_flight,
  iif(run.epoch IS NULL, 0.0, round(coalesce(h.requests_per_s, 0.0), 2)) AS requests_per_s,
  h.done,
  h.failed,
  (SELECT count(*) FROM requests r WHERE r.state = 0 AND r.host_id = h.host_id) AS ready,
  coalesce(w.waiting, 0) AS waiting,
  h.attempts,
  round(1.0 * h.ok / nullif(h.attempts, 0), 4) AS ok_share,
  h.gateway_errors,
  h.http_502,
  h.http_503,
  h.http_429,
  h.timeouts,
  round(h.p95_us / 1000.0, 1) AS p95_ms,
  strftime('%Y-%m-%dT%H:%M:%fZ', h.only_probed_since_ms / 1000.0, 'unixepoch') AS only_probed_since,
  strftime('%Y-%m-%dT%H:%M:%fZ', h.next_probe_ms / 1000.0, 'unixepoch') AS next_probe_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', h.held_until_ms / 1000.0, 'unixepoch') AS held_until,
  h.is_given_up,
  h.waits_for_robots,
  h.robots_status,
  strftime('%Y-%m-%dT%H:%M:%fZ', h.robots_expires_ms / 1000.0, 'unixepoch') AS robots_expires_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', h.limiter_ms / 1000.0, 'unixepoch') AS as_of
FROM hosts h
LEFT JOIN runs run
  ON run.epoch = h.limiter_epoch AND run.ended_ms IS NULL AND run.ending IS NULL
LEFT JOIN (SELECT host_id, count(*) AS waiting FROM requests INDEXED BY requests_waiting
  WHERE state = 4 GROUP BY host_id) w
  ON w.host_id = h.host_id;

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
