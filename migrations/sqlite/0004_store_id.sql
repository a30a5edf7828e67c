-- What tells a store from others: it is written beside its segment files as well, so that no store takes
-- those of another one for its own. A copy has the id of its original.
INSERT INTO store_meta VALUES ('store_id', lower(hex(randomblob(16))));

-- A round that was replaced was over when the next one was submitted.
UPDATE jobs SET finished_ms =
    (SELECT min(n.submitted_ms) FROM jobs n WHERE n.name = jobs.name AND n.round > jobs.round)
  WHERE state = 2 AND finished_ms IS NULL;
