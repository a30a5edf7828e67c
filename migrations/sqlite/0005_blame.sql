-- Who answered, whose fault it was, and by which proxy.

-- A proxy of a job, or the direct way as a member of a pool. It has no credentials: those of the same address
-- with different users are one.
CREATE TABLE proxies (
  proxy_id    INTEGER PRIMARY KEY,
  -- The job's name, its pool, and the proxy's host:port or 'direct'.
  job         TEXT NOT NULL,
  pool        TEXT NOT NULL,
  name        TEXT NOT NULL,
  attempts    INTEGER NOT NULL DEFAULT 0,
  -- Attempts in which it did its part, whatever the host answered; and those that failed by its fault or for
  -- our credentials. Of the rest nobody knows whose fault they were.
  ok          INTEGER NOT NULL DEFAULT 0,
  failures    INTEGER NOT NULL DEFAULT 0,
  -- How it stood at seen_ms under the run epoch, which all of the following tells; NULL before that.
  -- worked and failed are counted since that run began.
  seen_ms     INTEGER,
  epoch       INTEGER REFERENCES runs (epoch),
  worked      INTEGER,
  failed      INTEGER,
  in_flight   INTEGER,
  concurrency_limit REAL,
  -- It is not used until then, and why.
  left_out_until_ms INTEGER,
  left_out_why      TEXT,
  -- Nothing of its pool is used: the credentials are wrong.
  pool_is_stopped   INTEGER NOT NULL DEFAULT 0,
  -- Whether the job file or the list of its pool still names it.
  is_member         INTEGER NOT NULL DEFAULT 1,
  UNIQUE (job, pool, name)
) STRICT;

-- Who wrote the answer, what it means, how sure that is (0 to 1) and what it rests on; NULL of what worked
-- without a proxy. cause stays what was seen.
ALTER TABLE attempts ADD COLUMN producer TEXT;
ALTER TABLE attempts ADD COLUMN diagnosis TEXT;
ALTER TABLE attempts ADD COLUMN confidence REAL;
ALTER TABLE attempts ADD COLUMN evidence TEXT CHECK (evidence IS NULL OR json_valid(evidence));
-- The way that it took; NULL without pools. And what a proxy answered to CONNECT.
ALTER TABLE attempts ADD COLUMN proxy_id INTEGER REFERENCES proxies (proxy_id);
ALTER TABLE attempts ADD COLUMN connect_status INTEGER;

-- Attempts that failed by a proxy's fault or for our credentials for it. attempts counts them, none of the
-- others does.
ALTER TABLE hosts ADD COLUMN proxy_failures INTEGER NOT NULL DEFAULT 0;
-- Answers 502 that a proxy wrote, to CONNECT or in the host's place; http_502 are the host's.
ALTER TABLE hosts ADD COLUMN proxy_502 INTEGER NOT NULL DEFAULT 0;

-- What somebody is to blame for, gateways' errors among it.
CREATE INDEX attempts_at_fault ON attempts (host_id, cause) WHERE fault IS NOT NULL;
DROP VIEW bad_gateways;
DROP INDEX attempts_overload;

-- The words of today.
UPDATE attempts SET fault = CASE fault WHEN 'credentials' THEN 'own_credentials' ELSE 'own_network' END
  WHERE fault IN ('credentials', 'own');

DROP VIEW failures;
DROP VIEW host_health;

-- Who is to blame for what: failed attempts of each host.
CREATE VIEW blame AS
SELECT
  j.name AS job,
  j.round,
  h.name AS host,
  x.pool,
  x.name AS proxy,
  a.fault,
  a.cause,
  a.diagnosis,
  a.producer,
  -- What the host answered, or the proxy in its place or to CONNECT.
  coalesce(a.status, CASE WHEN a.connect_status >= 300 THEN a.connect_status END) AS status,
  count(*) AS attempts,
  count(DISTINCT a.request_id) AS requests,
  -- Requests that were given up, whatever for in the end, and had such an attempt.
  count(DISTINCT CASE WHEN r.state = 3 THEN r.request_id END) AS pages_lost,
  round(avg(a.confidence), 2) AS confidence,
  strftime('%Y-%m-%dT%H:%M:%fZ', min(a.started_ms) / 1000.0, 'unixepoch') AS first_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', max(a.started_ms) / 1000.0, 'unixepoch') AS last_at
FROM attempts a
JOIN requests r ON r.request_id = a.request_id
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = a.host_id
LEFT JOIN proxies x ON x.proxy_id = a.proxy_id
WHERE a.fault IS NOT NULL
GROUP BY r.job_id, a.host_id, a.proxy_id, a.fault, a.cause, a.diagnosis, a.producer, 10;

-- Which hosts answered 502, 503, 504 or 520 to 524, or a proxy on the way to them; how often, and what it cost.
CREATE VIEW bad_gateways AS
SELECT
  h.name AS host,
  CASE WHEN a.connect_status >= 300 THEN 'http_' || a.connect_status ELSE a.cause END AS cause,
  count(*) AS answers,
  count(DISTINCT a.request_id) AS requests,
  round(1.0 * count(*) / max(h.attempts, 1), 4) AS share_of_attempts,
  -- Requests that were given up, whatever for in the end, and had such an answer.
  count(DISTINCT CASE WHEN r.state = 3 THEN r.request_id END) AS pages_lost,
  strftime('%Y-%m-%dT%H:%M:%fZ', min(a.started_ms) / 1000.0, 'unixepoch') AS first_at,
  strftime('%Y-%m-%dT%H:%M:%fZ', max(a.started_ms) / 1000.0, 'unixepoch') AS last_at,
  -- Who wrote them: the host or what stands in front of it, the proxy that was asked, or it cannot be told.
  -- An old attempt without a word on it went without a proxy.
  sum(coalesce(a.producer, 'origin_app') IN ('origin_app', 'origin_gateway', 'edge')) AS by_host,
  sum(a.producer IS 'forward_proxy') AS by_proxy,
  sum(coalesce(a.producer, 'origin_app') IN ('none', 'unknown')) AS by_unknown,
  -- Of all, those that are the proxy's fault: a proxy may also be right that the host does not answer.
  sum(a.fault = 'proxy') AS proxy_faults
FROM attempts a
JOIN hosts h ON h.host_id = a.host_id
JOIN requests r ON r.request_id = a.request_id
WHERE a.fault IS NOT NULL
  AND (a.outcome = 6 OR a.connect_status BETWEEN 502 AND 504 OR a.connect_status BETWEEN 520 AND 524)
GROUP BY a.host_id, 2;

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
       SELECT id FROM chain ORDER BY hop DESC LIMIT 1) END) AS input,
  a.producer,
  a.diagnosis,
  x.pool,
  x.name AS proxy,
  a.connect_status
FROM requests r
LEFT JOIN attempts a ON a.attempt_id =
  (SELECT max(y.attempt_id) FROM attempts y WHERE y.request_id = r.request_id)
LEFT JOIN proxies x ON x.proxy_id = a.proxy_id
LEFT JOIN jobs j ON j.job_id = r.job_id
LEFT JOIN hosts h ON h.host_id = r.host_id
LEFT JOIN requests found ON found.request_id = r.parent_id
WHERE r.state = 3;

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
  -- Of those that no proxy spoilt.
  round(1.0 * h.ok / nullif(h.attempts - h.proxy_failures, 0), 4) AS ok_share,
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
  strftime('%Y-%m-%dT%H:%M:%fZ', h.limiter_ms / 1000.0, 'unixepoch') AS as_of,
  h.proxy_502,
  h.proxy_failures
FROM hosts h
LEFT JOIN runs run
  ON run.epoch = h.limiter_epoch AND run.ended_ms IS NULL AND run.ending IS NULL
LEFT JOIN (SELECT host_id, count(*) AS waiting FROM requests INDEXED BY requests_waiting
  WHERE state = 4 GROUP BY host_id) w
  ON w.host_id = h.host_id;

-- How each proxy does.
CREATE VIEW proxy_health AS
SELECT
  x.job,
  x.pool,
  x.name AS proxy,
  -- A run tells of every member: those that its newest run with this job did not know are on no list any more.
  CASE WHEN NOT x.is_member OR x.epoch < (SELECT max(y.epoch) FROM proxies y WHERE y.job = x.job) THEN 'not listed'
    WHEN x.pool_is_stopped THEN 'pool stopped'
    WHEN x.left_out_until_ms IS NOT NULL THEN 'left out'
    ELSE 'used' END AS state,
  x.concurrency_limit,
  -- A run that has ended has nothing in flight.
  iif(run.epoch IS NULL, 0, coalesce(x.in_flight, 0)) AS in_flight,
  x.attempts,
  x.ok,
  x.failures,
  round(1.0 * x.ok / nullif(x.attempts, 0), 4) AS ok_share,
  strftime('%Y-%m-%dT%H:%M:%fZ', x.left_out_until_ms / 1000.0, 'unixepoch') AS left_out_until,
  x.left_out_why,
  strftime('%Y-%m-%dT%H:%M:%fZ', x.seen_ms / 1000.0, 'unixepoch') AS as_of
FROM proxies x
LEFT JOIN runs run ON run.epoch = x.epoch AND run.ended_ms IS NULL AND run.ending IS NULL;
