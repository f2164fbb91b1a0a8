-- what pgx asks when it is told to load a type t1
select t.typtype::text, t.typelem, t.typrelid from pg_type t where t.oid = 1007;

select oid, typname from pg_type where oid = '_int4'::regtype;

select a.attname, a.atttypid from pg_attribute a
where a.attrelid = {oid} and not a.attisdropped and a.attnum > 0 order by a.attnum;

select 'int4'::text::regtype::int4;

select typname, typtype, typelem, rngsubtype, typbasetype
from pg_type t left join pg_range r on t.oid = r.rngtypid
where typrelid = 0 and typname not like 'pg_%';
