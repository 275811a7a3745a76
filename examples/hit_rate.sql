-- The token hit rate of an infinite cache: with blocks of 512 tokens, trace.jsonl.
WITH request AS (
    SELECT row_number() OVER () AS n, input_length AS length, hash_ids FROM 'trace.jsonl'
), block AS (
    SELECT n, generate_subscripts(hash_ids, 1) AS place, unnest(hash_ids) AS id FROM request
), seen AS (
    SELECT n, place, min(n) OVER (PARTITION BY id) < n AS cached FROM block
), hit AS (
    SELECT n, coalesce(min(place) FILTER (NOT cached) - 1, max(place)) AS blocks FROM seen GROUP BY n
)
SELECT sum(least(512 * blocks, length)) AS cached_tokens, sum(least(512 * blocks, length)) / sum(length) AS token_hit_rate
FROM request JOIN hit USING (n);
