-- Payloads that several pages share, and what tells that they do.

-- A payload that was stored once and met again: the response record that has it. Revisit records name its
-- URL and date.
CREATE TABLE originals (
  original_id    INTEGER PRIMARY KEY,
  segment_id     INTEGER NOT NULL REFERENCES segments (segment_id),
  segment_offset INTEGER NOT NULL,
  segment_bytes  INTEGER NOT NULL,
  url            TEXT NOT NULL,
  fetched_ms     INTEGER NOT NULL,
  UNIQUE (segment_id, segment_offset)
) STRICT;

-- SHA-1 of the payload as sent, where bodies are kept: the digest of its WARC record.
ALTER TABLE pages ADD COLUMN payload_sha1 BLOB;
-- Where the payload is, if the page's own record is a revisit without one.
ALTER TABLE pages ADD COLUMN original_id INTEGER REFERENCES originals (original_id);
CREATE INDEX pages_original ON pages (original_id) WHERE original_id IS NOT NULL;
