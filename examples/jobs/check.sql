-- Proves from the tables alone that no record is missing: each names the one before it (prev), which is there, was told as a gap,
-- or is the beginning of its chain (0). The answer is how many are not: 0.
SELECT count(*) AS missing
FROM records r
WHERE r.prev <> 0
  AND NOT EXISTS (SELECT FROM records p
    WHERE (p.gateway, p.stream, p.epoch, p.chain, p.seq) = (r.gateway, r.stream, r.epoch, r.chain, r.prev))
  AND NOT EXISTS (SELECT FROM gaps g
    WHERE (g.gateway, g.stream, g.epoch, g.chain) = (r.gateway, r.stream, r.epoch, r.chain)
      AND r.prev BETWEEN g.first AND g.last);
