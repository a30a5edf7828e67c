-- What pages say of themselves, and every link with its text.

-- What an HTML page says; NULL where it says nothing.
ALTER TABLE pages ADD COLUMN title TEXT;
ALTER TABLE pages ADD COLUMN h1 TEXT;
ALTER TABLE pages ADD COLUMN description TEXT;
-- Its language tag, in lower case.
ALTER TABLE pages ADD COLUMN language TEXT;
-- The URL that it wants to be known by.
ALTER TABLE pages ADD COLUMN canonical TEXT;
-- Whether it or its header asks not to be shown among results; NULL for what is no HTML page.
ALTER TABLE pages ADD COLUMN is_noindex INTEGER;

-- Links of pages in their order, the first 1,000 of each page; the view links tells more.
CREATE TABLE found_links (
  request_id         INTEGER NOT NULL REFERENCES requests (request_id),
  number             INTEGER NOT NULL,
  -- By which the request that it leads to is found; NULL if it is not asked for.
  target_host_id     INTEGER,
  target_fingerprint INTEGER,
  -- The target, if it is not asked for, and why not.
  url                TEXT,
  skip_reason        INTEGER,
  -- What is clicked on.
  anchor             TEXT,
  is_nofollow        INTEGER NOT NULL,
  skip_reason_name   TEXT GENERATED ALWAYS AS
  (CASE skip_reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
   WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' WHEN 6 THEN 'cancelled'
   WHEN 7 THEN 'by_hand' WHEN 8 THEN 'nofollow' WHEN 9 THEN 'nested_sitemap'
   WHEN 10 THEN 'foreign_sitemap' END) VIRTUAL,
  PRIMARY KEY (request_id, number)
) STRICT, WITHOUT ROWID;

DROP VIEW results;
DROP VIEW skipped;
ALTER TABLE requests DROP COLUMN skip_reason_name;
ALTER TABLE requests ADD COLUMN skip_reason_name TEXT GENERATED ALWAYS AS
  (CASE skip_reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
   WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' WHEN 6 THEN 'cancelled'
   WHEN 7 THEN 'by_hand' WHEN 8 THEN 'nofollow' WHEN 9 THEN 'nested_sitemap'
   WHEN 10 THEN 'foreign_sitemap' END) VIRTUAL;
ALTER TABLE skips DROP COLUMN reason_name;
ALTER TABLE skips ADD COLUMN reason_name TEXT GENERATED ALWAYS AS
  (CASE reason WHEN 0 THEN 'scope' WHEN 1 THEN 'not_included' WHEN 2 THEN 'excluded'
   WHEN 3 THEN 'too_deep' WHEN 4 THEN 'max_pages' WHEN 5 THEN 'robots' WHEN 6 THEN 'cancelled'
   WHEN 7 THEN 'by_hand' WHEN 8 THEN 'nofollow' WHEN 9 THEN 'nested_sitemap'
   WHEN 10 THEN 'foreign_sitemap' END) VIRTUAL;

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
  p.title,
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

-- Every link of every page: where it stands, what is clicked on, and what became of its target.
CREATE VIEW links AS
SELECT
  j.name AS job,
  j.round,
  page.url AS page,
  l.number,
  l.anchor,
  coalesce(target.url, l.url) AS target,
  l.is_nofollow,
  target.state_name AS state,
  coalesce(l.skip_reason_name, target.skip_reason_name) AS skip_reason
FROM found_links l
JOIN requests page ON page.request_id = l.request_id
LEFT JOIN requests target
  ON target.host_id = l.target_host_id AND target.fingerprint = l.target_fingerprint
LEFT JOIN jobs j ON j.job_id = page.job_id;

-- Links whose target failed, or answered (after its redirects) that there is no such page.
CREATE VIEW broken_links AS
SELECT
  j.name AS job,
  j.round,
  page.url AS page,
  l.anchor,
  target.url AS target,
  r.status,
  r.cause,
  r.final_url
FROM found_links l
JOIN requests target
  ON target.host_id = l.target_host_id AND target.fingerprint = l.target_fingerprint
JOIN results r ON r.request_id = target.request_id
JOIN requests page ON page.request_id = l.request_id
LEFT JOIN jobs j ON j.job_id = page.job_id
WHERE r.state = 'failed' OR r.status >= 400;
