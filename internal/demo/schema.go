package demo

import (
	"fmt"
	"time"
)

// source declares the auction house. Event time is the wall clock's, and one split keeps events in order.
func source(rate int, now time.Time) string {
	return fmt.Sprintf(`CREATE SOURCE IF NOT EXISTS nexmark WITH (
  connector = 'nexmark',
  nexmark.rows.per.second = '%d',
  nexmark.event.rate = '%d',
  nexmark.base.time = '%s',
  nexmark.split.num = '1')`, rate, rate, now.UTC().Format("2006-01-02 15:04:05.000"))
}

// Names of the materialized views.
const (
	trafficView  = "traffic"
	hotView      = "hot_auctions"
	categoryView = "revenue_by_category"
	statesView   = "sales_by_state"
)

// relations are the views over the source, each after what it needs.
var relations = []string{
	`CREATE VIEW IF NOT EXISTS person AS
SELECT person_id AS id, person_name AS name, person_city AS city, person_state AS state, person_date_time AS date_time
FROM nexmark WHERE event_type = 0`,

	`CREATE VIEW IF NOT EXISTS auction AS
SELECT auction_id AS id, auction_item_name AS item_name, auction_initial_bid AS initial_bid, auction_date_time AS date_time,
       auction_expires AS expires, auction_seller AS seller, auction_category AS category
FROM nexmark WHERE event_type = 1`,

	`CREATE VIEW IF NOT EXISTS bid AS
SELECT bid_auction AS auction, bid_bidder AS bidder, bid_price AS price, bid_channel AS channel, bid_date_time AS date_time
FROM nexmark WHERE event_type = 2`,

	`CREATE MATERIALIZED VIEW IF NOT EXISTS ` + trafficView + ` AS
SELECT count(*) AS events,
       count(*) FILTER (WHERE event_type = 0) AS persons,
       count(*) FILTER (WHERE event_type = 1) AS auctions,
       count(*) FILTER (WHERE event_type = 2) AS bids
FROM nexmark`,

	`CREATE MATERIALIZED VIEW IF NOT EXISTS ` + hotView + ` AS
SELECT window_start, place, auction, bids, highest FROM (
  SELECT *, row_number() OVER (PARTITION BY window_start ORDER BY bids DESC, auction) AS place FROM (
    SELECT window_start, auction, count(*) AS bids, max(price) AS highest
    FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
    GROUP BY window_start, auction) per_auction) ranked
WHERE place <= 5`,

	`CREATE MATERIALIZED VIEW IF NOT EXISTS ` + categoryView + ` AS
SELECT category, count(*) AS sold, sum(final) AS revenue, max(final) AS dearest FROM (
  SELECT a.id, a.category, max(b.price) AS final
  FROM auction a JOIN bid b ON b.auction = a.id
  WHERE b.date_time BETWEEN a.date_time AND a.expires
  GROUP BY a.id, a.category) won
GROUP BY category`,

	`CREATE MATERIALIZED VIEW IF NOT EXISTS ` + statesView + ` AS
SELECT p.state, count(*) AS bids, sum(b.price) AS volume, max(b.price) AS highest
FROM person p JOIN auction a ON a.seller = p.id JOIN bid b ON b.auction = a.id
GROUP BY p.state`,
}

// What the demo reads, a few times a second. The first statement names every view, so that the number of events it
// gives is that of the one that is furthest behind.
const (
	readTraffic = `SELECT events, persons, auctions, bids,
       (SELECT count(*) FROM ` + hotView + `), (SELECT count(*) FROM ` + categoryView + `), (SELECT count(*) FROM ` + statesView + `)
FROM ` + trafficView
	readHot = `SELECT auction, bids, highest, window_start FROM ` + hotView + `
WHERE window_start = (SELECT max(window_start) FROM ` + hotView + `) ORDER BY place`
	readCategories = `SELECT category, sold, revenue, dearest FROM ` + categoryView + ` ORDER BY category`
	readStates     = `SELECT state, bids, volume, highest FROM ` + statesView + ` ORDER BY state`
)
