CREATE TABLE c (id int primary key, name varchar(20) not null, country text, since date, score float8);
CREATE TABLE o (id bigint primary key, cid int, amount numeric(10,2), at timestamp, tags text[]);
CREATE TABLE l (oid bigint, no int, product text, qty int, price numeric, primary key (oid, no));
CREATE TABLE n (a int, b int, s text);
CREATE TABLE z (ts timestamptz, i interval, j jsonb, u bool, f real, sm smallint, ch char(5));
