package nexmark

import (
	"fmt"
	"sort"
	"strconv"
	"strings"
)

// query is one of the benchmark's queries.
type query struct {
	name string
	sql  string
	// setup are statements to run before the clock starts.
	setup []string
}

// The thirds of the prices that q15 to q17 count apart.
const (
	low    = "price < 10000"
	middle = "price >= 10000 AND price < 1000000"
	high   = "price >= 1000000"
)

// dayStatistics are the columns that q15 and q16 share.
var dayStatistics = strings.Join([]string{
	"count(*) AS total_bids", filtered("count(*)", "rank1_bids", low), filtered("count(*)", "rank2_bids", middle), filtered("count(*)", "rank3_bids", high),
	"count(DISTINCT bidder) AS total_bidders", filtered("count(DISTINCT bidder)", "rank1_bidders", low),
	filtered("count(DISTINCT bidder)", "rank2_bidders", middle), filtered("count(DISTINCT bidder)", "rank3_bidders", high),
	"count(DISTINCT auction) AS total_auctions", filtered("count(DISTINCT auction)", "rank1_auctions", low),
	filtered("count(DISTINCT auction)", "rank2_auctions", middle), filtered("count(DISTINCT auction)", "rank3_auctions", high),
}, ",\n       ")

func filtered(call, name, cond string) string {
	return call + " FILTER (WHERE " + cond + ") AS " + name
}

// queries are q0 to q23, in order. They are written over the views person, auction and bid.
var queries = []query{
	{name: "q0", sql: `SELECT auction, bidder, price, date_time, extra FROM bid`},
	{name: "q1", sql: `SELECT auction, bidder, 0.908 * price AS price, date_time, extra FROM bid`},
	{name: "q2", sql: `SELECT auction, price FROM bid WHERE auction % 123 = 0`},
	{name: "q3", sql: `SELECT p.name, p.city, p.state, a.id
FROM auction a JOIN person p ON a.seller = p.id
WHERE a.category = 10 AND p.state IN ('OR', 'ID', 'CA')`},
	{name: "q4", sql: `SELECT category, avg(final) AS final FROM (
  SELECT a.category, max(b.price) AS final
  FROM auction a JOIN bid b ON a.id = b.auction
  WHERE b.date_time BETWEEN a.date_time AND a.expires
  GROUP BY a.id, a.category) q
GROUP BY category`},
	{name: "q5", sql: `WITH c AS (
  SELECT auction, count(*) AS num, window_start, window_end
  FROM HOP(bid, date_time, INTERVAL '2 seconds', INTERVAL '10 seconds')
  GROUP BY auction, window_start, window_end)
SELECT c.auction, c.num FROM c
JOIN (SELECT max(num) AS most, window_start, window_end FROM c GROUP BY window_start, window_end) m
  ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num >= m.most`},
	{name: "q6", sql: `SELECT seller, avg(final) OVER (PARTITION BY seller ORDER BY date_time ROWS BETWEEN 10 PRECEDING AND CURRENT ROW) AS average
FROM (SELECT a.id, a.seller, b.price AS final, b.date_time,
             row_number() OVER (PARTITION BY a.id, a.seller ORDER BY b.price DESC) AS rn
      FROM auction a JOIN bid b ON a.id = b.auction
      WHERE b.date_time BETWEEN a.date_time AND a.expires) q
WHERE rn <= 1`},
	{name: "q7", sql: `SELECT b.auction, b.price, b.bidder, b.date_time, b.extra
FROM bid b JOIN (SELECT max(price) AS top, window_end AS w
                 FROM TUMBLE(bid, date_time, INTERVAL '10 seconds') GROUP BY window_start, window_end) m
  ON b.price = m.top AND b.date_time BETWEEN m.w - INTERVAL '10 seconds' AND m.w`},
	{name: "q8", sql: `SELECT p.id, p.name, p.window_start FROM
  (SELECT id, name, window_start, window_end FROM TUMBLE(person, date_time, INTERVAL '10 seconds')
   GROUP BY id, name, window_start, window_end) p
JOIN (SELECT seller, window_start, window_end FROM TUMBLE(auction, date_time, INTERVAL '10 seconds')
      GROUP BY seller, window_start, window_end) a
  ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end`},
	{name: "q9", sql: `SELECT id, item_name, description, initial_bid, reserve, date_time, expires, seller, category, extra,
       auction, bidder, price, bid_date_time, bid_extra
FROM (SELECT a.*, b.auction, b.bidder, b.price, b.date_time AS bid_date_time, b.extra AS bid_extra,
             row_number() OVER (PARTITION BY a.id ORDER BY b.price DESC, b.date_time) AS rn
      FROM auction a JOIN bid b ON a.id = b.auction
      WHERE b.date_time BETWEEN a.date_time AND a.expires) q
WHERE rn <= 1`},
	{name: "q10", sql: `SELECT auction, bidder, price, date_time, extra,
       to_char(date_time, 'YYYY-MM-DD') AS day, to_char(date_time, 'HH24:MI') AS minute FROM bid`},
	{name: "q11", sql: `SELECT bidder, count(*) AS bids, window_start, window_end
FROM SESSION(bid, date_time, INTERVAL '10 seconds' PARTITION BY bidder)
GROUP BY bidder, window_start, window_end`},
	// Event time instead of processing time, so that two runs have the same result.
	{name: "q12", sql: `SELECT bidder, count(*) AS bids, window_start, window_end
FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
GROUP BY bidder, window_start, window_end`},
	{name: "q13", sql: `SELECT b.auction, b.bidder, b.price, b.date_time, s.value
FROM bid b JOIN side_input FOR SYSTEM_TIME AS OF PROCTIME() s ON b.auction % 10000 = s.key`,
		setup: []string{
			`CREATE TABLE side_input (key bigint PRIMARY KEY, value varchar)`,
			`INSERT INTO side_input SELECT i, i::varchar FROM generate_series(0, 9999) AS g(i)`,
		}},
	{name: "q14", sql: `SELECT auction, bidder, 0.908 * price AS price,
       CASE WHEN extract(hour FROM date_time) BETWEEN 8 AND 18 THEN 'dayTime'
            WHEN extract(hour FROM date_time) <= 6 OR extract(hour FROM date_time) >= 20 THEN 'nightTime'
            ELSE 'otherTime' END AS bid_time,
       date_time, extra, length(extra) - length(replace(extra, 'c', '')) AS c_counts
FROM bid WHERE 0.908 * price > 1000000 AND 0.908 * price < 50000000`},
	{name: "q15", sql: `SELECT to_char(date_time, 'YYYY-MM-DD') AS day,
       ` + dayStatistics + `
FROM bid GROUP BY 1`},
	{name: "q16", sql: `SELECT channel, to_char(date_time, 'YYYY-MM-DD') AS day, max(to_char(date_time, 'HH24:MI')) AS minute,
       ` + dayStatistics + `
FROM bid GROUP BY 1, 2`},
	{name: "q17", sql: `SELECT auction, to_char(date_time, 'YYYY-MM-DD') AS day, count(*) AS bids,
       ` + filtered("count(*)", "rank1_bids", low) + `,
       ` + filtered("count(*)", "rank2_bids", middle) + `,
       ` + filtered("count(*)", "rank3_bids", high) + `,
       min(price) AS lowest, max(price) AS highest, avg(price) AS average, sum(price) AS total
FROM bid GROUP BY 1, 2`},
	{name: "q18", sql: `SELECT auction, bidder, price, channel, url, date_time, extra
FROM (SELECT *, row_number() OVER (PARTITION BY bidder, auction ORDER BY date_time DESC) AS rn FROM bid) q
WHERE rn <= 1`},
	{name: "q19", sql: `SELECT * FROM (
  SELECT *, row_number() OVER (PARTITION BY auction ORDER BY price DESC) AS place FROM bid) q
WHERE place <= 10`},
	{name: "q20", sql: `SELECT b.auction, b.bidder, b.price, b.channel, b.url, b.date_time AS bid_date_time, b.extra AS bid_extra,
       a.item_name, a.description, a.initial_bid, a.reserve, a.date_time AS auction_date_time, a.expires, a.seller, a.category,
       a.extra AS auction_extra
FROM bid b JOIN auction a ON b.auction = a.id WHERE a.category = 10`},
	{name: "q21", sql: `SELECT auction, bidder, price, channel,
       CASE lower(channel) WHEN 'apple' THEN '0' WHEN 'google' THEN '1' WHEN 'facebook' THEN '2' WHEN 'baidu' THEN '3'
            ELSE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] END AS channel_id
FROM bid
WHERE (regexp_match(url, '(&|^)channel_id=([^&]*)'))[2] IS NOT NULL
   OR lower(channel) IN ('apple', 'google', 'facebook', 'baidu')`},
	{name: "q22", sql: `SELECT auction, bidder, price, channel,
       split_part(url, '/', 4) AS dir1, split_part(url, '/', 5) AS dir2, split_part(url, '/', 6) AS dir3 FROM bid`},
	{name: "q23", sql: `SELECT b.bidder, b.price, b.channel, b.url, b.extra,
       p.id, p.name, p.email_address, p.credit_card, p.city, p.state, p.date_time, p.extra AS person_extra,
       a.id AS auction, a.item_name, a.description, a.initial_bid, a.reserve, a.date_time AS auction_date_time, a.expires,
       a.seller, a.category, a.extra AS auction_extra
FROM bid b JOIN person p ON p.id = b.bidder JOIN auction a ON a.seller = b.bidder`},
}

// find picks queries by name; no names: all of them.
func find(names []string) ([]query, error) {
	if len(names) == 0 {
		return queries, nil
	}
	var out []query
	for _, n := range names {
		k := sort.Search(len(queries), func(i int) bool { return number(queries[i].name) >= number(n) })
		if k == len(queries) || queries[k].name != n {
			return nil, fmt.Errorf("there is no query %q: they are q0 to q%d", n, len(queries)-1)
		}
		out = append(out, queries[k])
	}
	return out, nil
}

func number(name string) int {
	n, err := strconv.Atoi(strings.TrimPrefix(name, "q"))
	if err != nil {
		return -1
	}
	return n
}

// views split the one stream of events into its three kinds.
var views = []string{
	`CREATE VIEW person AS SELECT person_id AS id, person_name AS name, person_email_address AS email_address,
  person_credit_card AS credit_card, person_city AS city, person_state AS state, person_date_time AS date_time,
  person_extra AS extra FROM nexmark WHERE event_type = 0`,
	`CREATE VIEW auction AS SELECT auction_id AS id, auction_item_name AS item_name, auction_description AS description,
  auction_initial_bid AS initial_bid, auction_reserve AS reserve, auction_date_time AS date_time, auction_expires AS expires,
  auction_seller AS seller, auction_category AS category, auction_extra AS extra FROM nexmark WHERE event_type = 1`,
	`CREATE VIEW bid AS SELECT bid_auction AS auction, bid_bidder AS bidder, bid_price AS price, bid_channel AS channel,
  bid_url AS url, bid_date_time AS date_time, bid_extra AS extra FROM nexmark WHERE event_type = 2`,
}

// source declares the stream of events.
func source(o Options) string {
	with := []string{"connector = 'nexmark'", fmt.Sprintf("nexmark.event.num = '%d'", o.Events),
		fmt.Sprintf("nexmark.event.rate = '%d'", o.EventRate), fmt.Sprintf("nexmark.seed = '%d'", o.Seed)}
	if o.Throttle > 0 {
		with = append(with, fmt.Sprintf("nexmark.rows.per.second = '%d'", o.Throttle))
	}
	return "CREATE SOURCE nexmark WITH (" + strings.Join(with, ", ") + ")"
}

// statement makes the job that is measured.
func statement(q query, sink string) string {
	switch sink {
	case SinkView:
		return "CREATE MATERIALIZED VIEW " + q.name + " AS " + q.sql
	case SinkChecksum:
		return "CREATE SINK " + q.name + " AS " + q.sql + "\nWITH (connector = 'blackhole', checksum = 'true')"
	}
	return "CREATE SINK " + q.name + " AS " + q.sql + "\nWITH (connector = 'blackhole')"
}
