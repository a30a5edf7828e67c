-- A gateway's error for which the host is not charged has the outcome 'transient': it is told by its cause.

DROP VIEW bad_gateways;

-- Which hosts answered 502, 503, 504 or 520 to 524, or a proxy on the way to them; how often, and what it cost.
-- Walls for robots that use such a status are none.
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
WHERE a.fault IS NOT NULL AND a.outcome IN (6, 8)
  AND (a.cause IN ('http_502', 'http_503', 'http_504', 'http_520', 'http_521', 'http_522', 'http_523', 'http_524')
    OR a.connect_status BETWEEN 502 AND 504 OR a.connect_status BETWEEN 520 AND 524)
GROUP BY a.host_id, 2;
