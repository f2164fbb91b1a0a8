-- An auction house of generated events (Nexmark): persons, auctions and bids, the same ones each time.

CREATE SOURCE person WITH (connector = 'nexmark', nexmark.table.type = 'Person', nexmark.event.num = '20000', nexmark.min.event.gap.in.ns = '0');
CREATE SOURCE auction WITH (connector = 'nexmark', nexmark.table.type = 'Auction', nexmark.event.num = '20000', nexmark.min.event.gap.in.ns = '0');
CREATE SOURCE bid WITH (connector = 'nexmark', nexmark.table.type = 'Bid', nexmark.event.num = '20000', nexmark.min.event.gap.in.ns = '0');

DESCRIBE bid;

-- Bids per auction and ten seconds.
CREATE MATERIALIZED VIEW bids_per_window AS
SELECT window_start, auction, count(*) AS bids, max(price) AS price
FROM TUMBLE(bid, date_time, INTERVAL '10 seconds')
GROUP BY window_start, auction;

-- The three auctions with most bids in each window: a view on the view.
CREATE MATERIALIZED VIEW hot_auctions AS
SELECT window_start, auction, bids
FROM (SELECT *, row_number() OVER (PARTITION BY window_start ORDER BY bids DESC, auction) AS place FROM bids_per_window) w
WHERE place <= 3;

-- Who sells what, and the best bid so far.
CREATE MATERIALIZED VIEW offers AS
SELECT a.id, a.item_name, p.name AS seller, p.city, max(b.price) AS best
FROM auction a JOIN person p ON a.seller = p.id LEFT JOIN bid b ON b.auction = a.id
GROUP BY a.id, a.item_name, p.name, p.city;

SELECT * FROM hot_auctions ORDER BY window_start, bids DESC LIMIT 6;
SELECT count(*) AS offers, count(best) AS with_bids FROM offers;
SHOW JOBS;

DROP SOURCE person CASCADE;
DROP SOURCE auction CASCADE;
DROP SOURCE bid CASCADE;
