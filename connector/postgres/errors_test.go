package postgres

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/cdc"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

// refused holds an error against its code, a part of its text, and a part of its hint.
func refused(t *testing.T, what string, err error, code sqlerr.Code, text, hint string) {
	t.Helper()
	var e *sqlerr.Error
	if !errors.As(err, &e) {
		t.Errorf("%s: %v, want %s", what, err, code)
		return
	}
	if e.Code != code || !strings.Contains(e.Message, text) || !strings.Contains(e.Hint, hint) {
		t.Errorf("%s: %s %q, hint %q;\nwant %s with %q, hint %q", what, e.Code, e.Message, e.Hint, code, text, hint)
	}
}

// TestOptions needs no server.
func TestOptions(t *testing.T) {
	base := map[string]string{"hostname": "h", "username": "u", "database.name": "d"}
	cases := []struct{ name, value, text string }{
		{"hostnam", "x", `has no option "hostnam"`},
		{"port", "x", `option "port" must be a whole number`},
		{"ssl.mode", "maybe", `option "ssl.mode" must be one of`},
		{"slot.name", "My Slot", `option "slot.name" must be 1 to 63 of`},
		{"database.name", "", `needs the option "database.name"`},
		{"publication.create.enable", "perhaps", "must be true or false"},
	}
	for _, c := range cases {
		o := map[string]string{}
		for k, v := range base {
			o[k] = v
		}
		o[c.name] = c.value
		_, err := parse(&connector.SourceSpec{Name: "s", Instance: "x/1", Connector: catalog.Connector{Options: o}})
		refused(t, c.name, err, sqlerr.InvalidParameterValue, c.text, "")
	}
	names := map[string]bool{}
	for _, id := range []string{"abc/1", "abc/2", "abc_1", "ABC/1", strings.Repeat("x", 80), strings.Repeat("x", 81)} {
		n := ownName(&connector.SourceSpec{Instance: id})
		if !validSlot(n) || names[n] {
			t.Errorf("instance %q has the slot %q", id, n)
		}
		names[n] = true
	}
}

// TestRefused meets every reason why CREATE fails.
func TestRefused(t *testing.T) {
	w := newWorld(t)
	ctx := soon(t)
	validate := func(more ...string) error {
		_, err := Source{}.Validate(ctx, w.spec(more...))
		return err
	}
	describe := func(table string, key []string, more ...string) error {
		_, err := Source{}.DescribeTable(ctx, w.spec(more...), table, key)
		return err
	}
	w.exec(`CREATE ROLE plain LOGIN;
CREATE ROLE repl LOGIN REPLICATION;
CREATE ROLE secret LOGIN REPLICATION PASSWORD 'right';
CREATE TABLE t (id int PRIMARY KEY, v text);
CREATE TABLE nokey (a int);
CREATE TABLE nothing (id int PRIMARY KEY);
ALTER TABLE nothing REPLICA IDENTITY NOTHING;
CREATE TABLE byindex (id int PRIMARY KEY, k int NOT NULL UNIQUE);
ALTER TABLE byindex REPLICA IDENTITY USING INDEX byindex_k_key;
CREATE TABLE whole (id int PRIMARY KEY, k int NOT NULL UNIQUE, n int UNIQUE);
ALTER TABLE whole REPLICA IDENTITY FULL;
CREATE TABLE computed (id int PRIMARY KEY, g int GENERATED ALWAYS AS (id * 2) STORED);
CREATE TABLE computedkey (id int, g int GENERATED ALWAYS AS (id * 2) STORED PRIMARY KEY);
CREATE UNLOGGED TABLE unlogged (id int PRIMARY KEY);
CREATE TABLE secured (id int PRIMARY KEY);
ALTER TABLE secured ENABLE ROW LEVEL SECURITY;
GRANT SELECT ON secured TO repl;
CREATE VIEW aview AS SELECT 1 AS one;
CREATE TABLE part (id int PRIMARY KEY) PARTITION BY RANGE (id);
CREATE PUBLICATION nodelete FOR ALL TABLES WITH (publish = 'insert, update, truncate');
CREATE PUBLICATION onlyt FOR TABLE t;
CREATE PUBLICATION filtered FOR TABLE t WHERE (id > 5);
CREATE PUBLICATION columns FOR TABLE t (id);
CREATE PUBLICATION leaves FOR TABLE part;
CREATE DATABASE elsewhere`)
	if err := validate(); err != nil {
		t.Error(err)
	}
	refused(t, "no server", validate("hostname", filepath.Join(w.Host, "nobody")), sqlerr.ConnectionFailure, "could not reach PostgreSQL at", "Check the options hostname")
	refused(t, "unknown database", validate("database.name", "nope"), sqlerr.InvalidCatalogName, `database "nope" does not exist`, "database.name")
	refused(t, "unknown user", validate("username", "nope"), sqlerr.InvalidAuthorization, `role "nope" does not exist`, "username")
	refused(t, "no REPLICATION", validate("username", "plain"), sqlerr.InsufficientPrivilege, `user "plain" of PostgreSQL`, "ALTER ROLE \"plain\" REPLICATION")
	refused(t, "no CREATE", validate("username", "repl"), sqlerr.InsufficientPrivilege, "may not create a publication", "GRANT CREATE ON DATABASE")
	if err := validate("username", "repl", "publication.name", "onlyt"); err != nil {
		t.Error(err)
	}
	refused(t, "no publication", validate("publication.name", "nope", "publication.create.enable", "false"), sqlerr.UndefinedObject, `publication "nope" does not exist`, "CREATE PUBLICATION")
	refused(t, "publication without deletes", validate("publication.name", "nodelete"), sqlerr.ObjectNotInPrerequisiteState, "leaves out every delete", "SET (publish =")
	w.exec("SELECT pg_create_logical_replication_slot('other', 'test_decoding')")
	refused(t, "slot of another plugin", validate("slot.name", "other"), sqlerr.ObjectNotInPrerequisiteState, "output plugin", "slot.name")
	w.exec("SELECT pg_drop_replication_slot('other')")
	refused(t, "certificate", validate("hostname", "localhost", "ssl.mode", "verify-ca", "ssl.root.cert", filepath.Join(t.TempDir(), "none")), sqlerr.InvalidParameterValue, "cannot be used", "")

	refused(t, "unknown table", describe("public.tt", nil), sqlerr.UndefinedTable, `upstream table "public.tt" does not exist`, `Perhaps you meant "public.t"`)
	refused(t, "bad name", describe("a.b.c.d", nil), sqlerr.InvalidName, "names no table", "schema.table")
	refused(t, "no key", describe("nokey", nil), sqlerr.ObjectNotInPrerequisiteState, "it has no primary key", `ALTER TABLE "public"."nokey" REPLICA IDENTITY FULL`)
	refused(t, "identity nothing", describe("nothing", nil), sqlerr.ObjectNotInPrerequisiteState, "REPLICA IDENTITY is NOTHING", `ALTER TABLE "public"."nothing" REPLICA IDENTITY DEFAULT`)
	refused(t, "another key than the index", describe("byindex", []string{"id"}), sqlerr.InvalidColumnReference, "identifies its rows by (k), not by (id)", "PRIMARY KEY (k)")
	refused(t, "another key", describe("t", []string{"v"}), sqlerr.InvalidColumnReference, "identifies its rows by (id), not by (v)", "REPLICA IDENTITY FULL")
	refused(t, "a key with NULLs", describe("whole", []string{"n"}), sqlerr.InvalidColumnReference, "has no unique key (n)", "")
	refused(t, "generated key", describe("computedkey", nil), sqlerr.ObjectNotInPrerequisiteState, "leaves out the generated column", "REPLICA IDENTITY FULL")
	refused(t, "unlogged", describe("unlogged", nil), sqlerr.WrongObjectType, "it is unlogged", "SET LOGGED")
	refused(t, "a view", describe("aview", nil), sqlerr.WrongObjectType, "it is a view", "")
	refused(t, "a system table", describe("pg_catalog.pg_class", nil), sqlerr.WrongObjectType, "it is a system table", "")
	refused(t, "no SELECT", describe("t", nil, "username", "repl", "publication.name", "onlyt"), sqlerr.InsufficientPrivilege, "may not read", "GRANT SELECT ON")
	refused(t, "row security", describe("secured", nil, "username", "repl"), sqlerr.InsufficientPrivilege, "row-level security", "BYPASSRLS")
	refused(t, "not in the publication", describe("whole", nil, "publication.name", "onlyt"), sqlerr.ObjectNotInPrerequisiteState, `does not have table "public.whole"`, "ALTER PUBLICATION \"onlyt\" ADD TABLE")
	refused(t, "row filter", describe("t", nil, "publication.name", "filtered"), sqlerr.ObjectNotInPrerequisiteState, "only some rows", "")
	refused(t, "column list", describe("t", nil, "publication.name", "columns"), sqlerr.ObjectNotInPrerequisiteState, "only some columns", "")
	refused(t, "partitions one by one", describe("part", nil, "publication.name", "leaves"), sqlerr.ObjectNotInPrerequisiteState, "one by one", "publish_via_partition_root")
	w.exec("GRANT SELECT ON t TO repl;\nGRANT CREATE ON DATABASE postgres TO repl")
	refused(t, "not the owner", describe("t", nil, "username", "repl"), sqlerr.InsufficientPrivilege, "must be owner", "publication.name")

	key := func(table string, declared []string) string {
		f, err := Source{}.DescribeTable(ctx, w.spec(), table, declared)
		if err != nil {
			return err.Error()
		}
		var out []string
		for _, c := range f.Columns {
			out = append(out, c.Name)
		}
		return fmt.Sprint(out, f.Key)
	}
	for _, c := range []struct {
		table    string
		declared []string
		want     string
	}{
		{"t", nil, "[id v] [0]"},
		{"PUBLIC.T", []string{"id"}, "[id v] [0]"},
		{`"public"."t"`, nil, "[id v] [0]"},
		{"postgres.public.t", nil, "[id v] [0]"},
		{"byindex", nil, "[id k] [1]"},
		{"whole", nil, "[id k n] [0]"},
		{"whole", []string{"k"}, "[id k n] [1]"},
		{"computed", nil, "[id] [0]"},
	} {
		if got := key(c.table, c.declared); got != c.want {
			t.Errorf("%s %v: %s, want %s", c.table, c.declared, got, c.want)
		}
	}
}

// TestServerLimits starts servers that cannot be captured from.
func TestServerLimits(t *testing.T) {
	w := newWorld(t, "-c", "wal_level=replica")
	_, err := Source{}.Validate(soon(t), w.spec())
	refused(t, "wal_level", err, sqlerr.ObjectNotInPrerequisiteState, `is "replica", and must be "logical"`, "ALTER SYSTEM SET wal_level")
	w.exec("CREATE ROLE pw LOGIN REPLICATION SUPERUSER PASSWORD 'right'")
	hba := filepath.Join(w.Host, "data", "pg_hba.conf")
	if err := os.WriteFile(hba, []byte("local all root trust\nlocal all pw scram-sha-256\nlocal replication pw scram-sha-256\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	w.exec("SELECT pg_reload_conf();\nSELECT pg_sleep(0.2)")
	_, err = Source{}.Validate(soon(t), w.spec("username", "pw", "password", "wrong"))
	refused(t, "wrong password", err, sqlerr.InvalidPassword, "password authentication failed", "username and password")
	if strings.Contains(fmt.Sprint(err), "wrong") {
		t.Errorf("the error shows the password: %v", err)
	}
	_, err = Source{}.Validate(soon(t), w.spec("username", "other"))
	refused(t, "pg_hba.conf", err, sqlerr.InvalidAuthorization, "no pg_hba.conf entry", "pg_hba.conf")
}

// TestSlots meets what may happen to a slot.
func TestSlots(t *testing.T) {
	w := newWorld(t, "-c", "max_replication_slots=1", "-c", "max_slot_wal_keep_size=1MB", "-c", "min_wal_size=32MB", "-c", "max_wal_size=32MB")
	w.exec("CREATE TABLE t (id int PRIMARY KEY)")
	spec := w.spec()
	tab := w.table(spec, "t")
	u := w.upstream(spec)
	r := w.read(u, nil, tab)
	_, _ = r.next()
	first := r.last.Resume

	_, err := Source{}.Validate(soon(t), w.spec())
	refused(t, "no slot left", err, "53400", "max_replication_slots is 1", "pg_replication_slots")
	_, err = Source{}.Validate(soon(t), w.spec("slot.name", u.slot))
	refused(t, "slot in use", err, sqlerr.ObjectInUse, "is in use by process", "slot.name")

	w.exec("INSERT INTO t VALUES (1)")
	want(t, r.all(), "+ 1")
	r.s.Ack(r.last.Resume)
	_ = r.s.Close()
	stream := func(resume []byte) error {
		s, err := u.Stream(soon(t), resume, []*cdc.Table{tab})
		if err == nil {
			_ = s.Close()
		}
		return err
	}
	if err := stream(r.last.Resume); err != nil {
		t.Error(err)
	}
	if err := u.config.awaitSlot(soon(t), w.sql.PgConn(), within); err != nil {
		t.Fatal(err)
	}
	w.exec("SELECT pg_replication_slot_advance('" + u.slot + "', pg_current_wal_lsn())")
	refused(t, "slot moved", stream(first), sqlerr.ObjectNotInPrerequisiteState, "the slot was moved to", "REFRESH SCHEMA")
	other, err := decodeResume(r.last.Resume)
	if err != nil {
		t.Fatal(err)
	}
	other.system++
	refused(t, "another server", stream(other.encode()), sqlerr.ObjectNotInPrerequisiteState, "another server", "REFRESH SCHEMA")

	// The server throws WAL away that the slot needs.
	latest := r.last.Resume
	for range 4 {
		w.exec("INSERT INTO t SELECT max(id) + 1 FROM t;\nSELECT pg_switch_wal();\nCHECKPOINT")
	}
	if s := w.one("SELECT wal_status FROM pg_replication_slots"); s != "lost" {
		t.Fatalf("the slot is %s", s)
	}
	refused(t, "WAL removed", stream(latest), sqlerr.ObjectNotInPrerequisiteState, "are lost", "max_slot_wal_keep_size")
	_, err = Source{}.Validate(soon(t), spec)
	refused(t, "WAL removed, at CREATE", err, sqlerr.ObjectNotInPrerequisiteState, "is lost", "pg_drop_replication_slot")
	w.exec("SELECT pg_drop_replication_slot('" + u.slot + "')")
	refused(t, "slot dropped", stream(latest), sqlerr.ObjectNotInPrerequisiteState, "does not exist any more", "REFRESH SCHEMA")

	// Drop removes what was made, and may come again.
	r = w.read(u, nil, tab)
	_ = r.s.Close()
	for range 2 {
		if err := (Source{}).Drop(soon(t), spec); err != nil {
			t.Fatal(err)
		}
		if left := w.one("SELECT count(*) FROM pg_replication_slots") + w.one("SELECT count(*) FROM pg_publication"); left != "00" {
			t.Errorf("left are slots and publications: %s", left)
		}
	}
	refused(t, "publication dropped", stream(latest), sqlerr.ObjectNotInPrerequisiteState, "publication", "REFRESH SCHEMA")
}
