-- A shop: what was ordered, and what follows from it at any moment.

CREATE TABLE customers (id int PRIMARY KEY, name text NOT NULL, country text);
CREATE TABLE orders (
    id int PRIMARY KEY,
    customer_id int NOT NULL,
    item text NOT NULL,
    quantity int NOT NULL DEFAULT 1,
    price numeric(10, 2) NOT NULL
);

INSERT INTO customers VALUES (1, 'Ann', 'NL'), (2, 'Bob', 'DE'), (3, 'Cyd', 'NL');

-- A view that is kept up to date.
CREATE MATERIALIZED VIEW spending AS
SELECT c.id, c.name, c.country, count(o.id) AS orders, coalesce(sum(o.quantity * o.price), 0) AS total
FROM customers c LEFT JOIN orders o ON o.customer_id = c.id
GROUP BY c.id, c.name, c.country;

-- A view on the view: the best customer of each country.
CREATE MATERIALIZED VIEW best AS
SELECT country, name, total
FROM (SELECT *, row_number() OVER (PARTITION BY country ORDER BY total DESC, id) AS place FROM spending) s
WHERE place = 1;

INSERT INTO orders VALUES (1, 1, 'tea', 2, 4.50), (2, 2, 'pot', 1, 18.00), (3, 3, 'cup', 6, 3.25);

SELECT name, orders, total FROM spending ORDER BY total DESC;
SELECT country, name, total FROM best ORDER BY country;

-- Change something, and look again: nothing has to be refreshed.
UPDATE orders SET quantity = 10 WHERE id = 1;
DELETE FROM orders WHERE id = 3;
SELECT country, name, total FROM best ORDER BY country;

-- Several changes become visible together.
BEGIN;
INSERT INTO customers VALUES (4, 'Dee', 'DE');
INSERT INTO orders VALUES (4, 4, 'pot', 3, 18.00);
COMMIT;
SELECT country, name, total FROM best ORDER BY country;

-- What would this view keep in memory, and how is it computed?
EXPLAIN CREATE MATERIALIZED VIEW x AS SELECT country, sum(total) FROM spending GROUP BY country;
EXPLAIN (STATE) CREATE MATERIALIZED VIEW x AS SELECT country, sum(total) FROM spending GROUP BY country;

DROP TABLE customers CASCADE;
DROP TABLE orders CASCADE;
