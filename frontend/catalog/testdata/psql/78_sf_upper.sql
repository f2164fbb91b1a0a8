-- \sf upper
SELECT 'upper'::pg_catalog.regproc::pg_catalog.oid;
