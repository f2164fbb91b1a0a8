-- Clicks from a topic, counted per minute, the counts into another topic. Needs a broker on 127.0.0.1:9092
-- with a topic "clicks"; records such as {"user_id": 1, "url": "/a", "at": "2024-01-01 12:00:00"}.

CREATE SOURCE clicks (user_id bigint, url text, at timestamp)
WITH (
    connector = 'kafka',
    topic = 'clicks',
    properties.bootstrap.server = '127.0.0.1:9092',
    scan.startup.mode = 'earliest'
) FORMAT PLAIN ENCODE JSON;

CREATE MATERIALIZED VIEW per_minute AS
SELECT window_start, url, count(*) AS clicks, count(DISTINCT user_id) AS users
FROM TUMBLE(clicks, at, INTERVAL '1 minute')
GROUP BY window_start, url;

SELECT * FROM per_minute ORDER BY clicks DESC, url LIMIT 10;

-- One record per minute and page, replaced when it changes.
CREATE SINK per_minute_out FROM per_minute
WITH (
    connector = 'kafka',
    topic = 'per_minute',
    properties.bootstrap.server = '127.0.0.1:9092',
    primary_key = 'window_start, url'
) FORMAT UPSERT ENCODE JSON;
