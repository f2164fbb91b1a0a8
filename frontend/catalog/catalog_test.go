package catalog

import (
	"context"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// TestRowsFitTheirColumns reads every system relation: each value has the Go type of its column, and what is never
// NULL is not.
func TestRowsFitTheirColumns(t *testing.T) {
	f := open(t)
	for _, r := range f.y.relations {
		rows, err := f.y.read(f.facts(), r.schema, r.name)
		if err != nil {
			t.Errorf("%s.%s: %v", r.schema, r.name, err)
		}
		for _, row := range rows {
			if len(row) != len(r.cols)+1 || row[len(r.cols)] != r.oid {
				t.Fatalf("%s.%s has a row of %d values and %d columns", r.schema, r.name, len(row), len(r.cols))
			}
			for i, c := range r.cols {
				if err := fits(c, row[i]); err != nil {
					t.Fatalf("%s.%s.%s: %v", r.schema, r.name, c.name, err)
				}
			}
		}
	}
}

func fits(c column, d sqltypes.Datum) error {
	ok := false
	switch x := d.(type) {
	case nil:
		if c.notNull {
			return fmt.Errorf("NULL in a column that is never NULL")
		}
		return nil
	case bool:
		ok = c.ty.Phys() == sqltypes.PhysBool
	case int64:
		ok = c.ty.Phys() == sqltypes.PhysInt64
	case float64:
		ok = c.ty.Phys() == sqltypes.PhysFloat64
	case datetime.Interval:
		ok = c.ty.Phys() == sqltypes.PhysInterval
	case string:
		ok = c.ty.Phys() == sqltypes.PhysBytes && !isArray(c.ty)
		if c.ty.Kind == sqltypes.KChar && len(x) > 1 {
			return fmt.Errorf("%q in a column of one byte", x)
		}
	case []byte:
		ok = c.ty.Phys() == sqltypes.PhysBytes
		if isArray(c.ty) {
			_, err := sqlio.ReadArray(c.ty, x)
			return err
		}
	}
	if !ok {
		return fmt.Errorf("value of Go type %T in a column of type %s", d, c.ty)
	}
	return nil
}

// TestEveryRelationIsRegistered checks that a mistyped name in the registry cannot hide.
func TestEveryRelationIsRegistered(t *testing.T) {
	y := New()
	if got, want := len(contents()), len(pgContents)+len(infoContents)+len(millraceContents); got != want {
		t.Errorf("%d relations have contents, %d are listed", got, want)
	}
	for _, name := range []string{"pg_class", "pg_enum", "pg_trigger", "pg_locks", "pg_sequences", "pg_event_trigger", "pg_default_acl", "pg_stat_user_tables"} {
		if _, ok := y.Columns(pgCatalog, name); !ok {
			t.Errorf("%s is missing", name)
		}
	}
	if _, ok := y.Columns("public", "pg_class"); ok {
		t.Error("pg_class is in public too")
	}
	if _, err := y.Rows(context.Background(), open(t).s, pgCatalog, "nothing"); err == nil {
		t.Error("rows of a relation that does not exist")
	}
}

// reference says that a column holds OIDs of rows of another relation, 0 meaning none.
type reference struct{ from, column, to, key string }

var references = []reference{
	{"pg_class", "relnamespace", "pg_namespace", "oid"},
	{"pg_class", "relowner", "pg_authid", "oid"},
	{"pg_class", "reltype", "pg_type", "oid"},
	{"pg_class", "relam", "pg_am", "oid"},
	{"pg_namespace", "nspowner", "pg_authid", "oid"},
	{"pg_attribute", "attrelid", "pg_class", "oid"},
	{"pg_attribute", "atttypid", "pg_type", "oid"},
	{"pg_attribute", "attcollation", "pg_collation", "oid"},
	{"pg_attrdef", "adrelid", "pg_class", "oid"},
	{"pg_type", "typrelid", "pg_class", "oid"},
	{"pg_type", "typelem", "pg_type", "oid"},
	{"pg_type", "typarray", "pg_type", "oid"},
	{"pg_type", "typnamespace", "pg_namespace", "oid"},
	{"pg_type", "typinput", "pg_proc", "oid"},
	{"pg_type", "typoutput", "pg_proc", "oid"},
	{"pg_type", "typreceive", "pg_proc", "oid"},
	{"pg_type", "typsend", "pg_proc", "oid"},
	{"pg_type", "typmodin", "pg_proc", "oid"},
	{"pg_type", "typmodout", "pg_proc", "oid"},
	{"pg_type", "typsubscript", "pg_proc", "oid"},
	{"pg_type", "typcollation", "pg_collation", "oid"},
	{"pg_proc", "prorettype", "pg_type", "oid"},
	{"pg_proc", "prolang", "pg_language", "oid"},
	{"pg_proc", "provariadic", "pg_type", "oid"},
	{"pg_aggregate", "aggfnoid", "pg_proc", "oid"},
	{"pg_operator", "oprleft", "pg_type", "oid"},
	{"pg_operator", "oprright", "pg_type", "oid"},
	{"pg_operator", "oprresult", "pg_type", "oid"},
	{"pg_operator", "oprcom", "pg_operator", "oid"},
	{"pg_operator", "oprnegate", "pg_operator", "oid"},
	{"pg_operator", "oprcode", "pg_proc", "oid"},
	{"pg_cast", "castsource", "pg_type", "oid"},
	{"pg_cast", "casttarget", "pg_type", "oid"},
	{"pg_index", "indexrelid", "pg_class", "oid"},
	{"pg_index", "indrelid", "pg_class", "oid"},
	{"pg_constraint", "conrelid", "pg_class", "oid"},
	{"pg_constraint", "conindid", "pg_class", "oid"},
	{"pg_rewrite", "ev_class", "pg_class", "oid"},
	{"pg_opclass", "opcfamily", "pg_opfamily", "oid"},
	{"pg_opclass", "opcintype", "pg_type", "oid"},
	{"pg_foreign_table", "ftrelid", "pg_class", "oid"},
	{"pg_foreign_table", "ftserver", "pg_foreign_server", "oid"},
	{"pg_foreign_server", "srvfdw", "pg_foreign_data_wrapper", "oid"},
	{"pg_database", "datdba", "pg_authid", "oid"},
	{"pg_database", "dattablespace", "pg_tablespace", "oid"},
	{"pg_am", "amhandler", "pg_proc", "oid"},
	{"pg_depend", "classid", "pg_class", "oid"},
	{"pg_description", "classoid", "pg_class", "oid"},
	{"pg_stat_activity", "usesysid", "pg_authid", "oid"},
	{"pg_stat_activity", "datid", "pg_database", "oid"},
}

// TestReferences checks that every OID leads to a row.
func TestReferences(t *testing.T) {
	f := open(t)
	keys := map[string]map[sqltypes.Datum]bool{}
	for _, ref := range references {
		id := ref.to + "." + ref.key
		if keys[id] == nil {
			keys[id] = map[sqltypes.Datum]bool{}
			for _, r := range f.rows(pgCatalog, ref.to) {
				keys[id][r[ref.key]] = true
			}
		}
		rows := f.rows(pgCatalog, ref.from)
		if len(rows) == 0 {
			t.Errorf("%s has no rows", ref.from)
		}
		for _, r := range rows {
			if v := r[ref.column]; v != int64(0) && v != nil && !keys[id][v] {
				t.Errorf("%s.%s is %v, which %s does not have: %v", ref.from, ref.column, v, ref.to, r)
			}
		}
	}
}

// TestArrayReferences checks the OIDs inside arrays: argument types and operator classes.
func TestArrayReferences(t *testing.T) {
	f := open(t)
	types, classes := oidSet(f, "pg_type"), oidSet(f, "pg_opclass")
	for _, r := range f.rows(pgCatalog, "pg_proc") {
		arr, err := sqlio.ReadArray(sqltypes.Type{Kind: sqltypes.KOidVector}, r["proargtypes"].([]byte))
		if err != nil {
			t.Fatal(err)
		}
		if int64(arr.Len()) != r["pronargs"] {
			t.Errorf("%v has %d argument types and pronargs %v", r["proname"], arr.Len(), r["pronargs"])
		}
		for _, d := range arr.Elems() {
			if !types[d] {
				t.Errorf("an argument of %v has type %v", r["proname"], d)
			}
		}
	}
	for _, r := range f.rows(pgCatalog, "pg_index") {
		arr, _ := sqlio.ReadArray(sqltypes.Type{Kind: sqltypes.KOidVector}, r["indclass"].([]byte))
		for _, d := range arr.Elems() {
			if !classes[d] {
				t.Errorf("index %v has operator class %v", r["indexrelid"], d)
			}
		}
	}
}

func oidSet(f *fake, name string) map[sqltypes.Datum]bool {
	out := map[sqltypes.Datum]bool{}
	for _, r := range f.rows(pgCatalog, name) {
		out[r["oid"]] = true
	}
	return out
}

// TestOIDsAreUnique checks the catalogs that are looked up by OID.
func TestOIDsAreUnique(t *testing.T) {
	f := open(t)
	for _, r := range f.y.relations {
		if len(r.cols) == 0 || r.cols[0].name != "oid" {
			continue
		}
		seen := map[sqltypes.Datum]bool{}
		for _, x := range f.rows(r.schema, r.name) {
			if seen[x["oid"]] || x["oid"] == int64(0) {
				t.Errorf("%s has OID %v twice, or it is 0: %v", r.name, x["oid"], x)
			}
			seen[x["oid"]] = true
		}
	}
}

// TestAttributeNumbers checks that relnatts and attnum agree.
func TestAttributeNumbers(t *testing.T) {
	f := open(t)
	count := map[sqltypes.Datum]int64{}
	for _, r := range f.rows(pgCatalog, "pg_attribute") {
		count[r["attrelid"]]++
	}
	for _, r := range f.rows(pgCatalog, "pg_class") {
		if count[r["oid"]] != r["relnatts"] {
			t.Errorf("%v has %d attributes and relnatts %v", r["relname"], count[r["oid"]], r["relnatts"])
		}
	}
}

// TestSinksAreNotReadable: a sink is in millrace_catalog only.
func TestSinksAreNotReadable(t *testing.T) {
	f := open(t)
	for _, r := range f.rows(pgCatalog, "pg_class") {
		if r["relname"] == "k1" {
			t.Error("pg_class has a sink")
		}
	}
	if rows := f.rows(millraceCatalog, "sinks"); len(rows) != 1 || rows[0]["name"] != "k1" {
		t.Errorf("sinks: %v", rows)
	}
}

// TestSecretsAreHidden: a source's password is not among its options.
func TestSecretsAreHidden(t *testing.T) {
	f := open(t)
	for _, at := range []struct{ schema, name, column string }{{pgCatalog, "pg_foreign_table", "ftoptions"}, {millraceCatalog, "sources", "options"}} {
		text := sqlio.TextOf(sqltypes.ArrayOf(sqltypes.Text), f.rows(at.schema, at.name)[0][at.column], f.s.Settings())
		if strings.Contains(text, "geheim") || !strings.Contains(text, "topic=bids") {
			t.Errorf("%s.%s: %s", at.name, at.column, text)
		}
	}
	for _, name := range []string{"pg_authid", "pg_shadow", "pg_roles", "pg_user"} {
		if text := fmt.Sprint(f.rows(pgCatalog, name)); strings.Contains(text, "SCRAM") {
			t.Errorf("%s shows a verifier", name)
		}
	}
}

// TestSettingsAreComplete: pg_settings has every parameter that SHOW ALL lists, with its value, and no other.
func TestSettingsAreComplete(t *testing.T) {
	f := open(t)
	ctx := context.Background()
	stmts, err := f.s.Parse("SHOW ALL")
	if err != nil {
		t.Fatal(err)
	}
	p, err := f.s.Prepare(ctx, stmts[0], nil)
	if err != nil {
		t.Fatal(err)
	}
	portal, err := p.Bind(ctx, nil)
	if err != nil {
		t.Fatal(err)
	}
	rows, err := portal.Execute(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer rows.Close()
	want := map[string]string{}
	for c, err := rows.Next(ctx); c != nil || err != nil; c, err = rows.Next(ctx) {
		if err != nil {
			t.Fatal(err)
		}
		for i := range c.Rows {
			want[string(c.Cols[0].Bytes(i))] = string(c.Cols[1].Bytes(i))
		}
	}
	got := map[string]string{}
	for _, r := range f.rows(pgCatalog, "pg_settings") {
		got[r["name"].(string)] = r["setting"].(string)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("pg_settings has %v\nSHOW ALL has %v", got, want)
	}
	for i := 1; i < len(settings); i++ {
		if strings.ToLower(settings[i-1].name) >= strings.ToLower(settings[i].name) {
			t.Errorf("%s is listed after %s", settings[i].name, settings[i-1].name)
		}
	}
}

func TestMillraceCatalog(t *testing.T) {
	f := open(t)
	jobs := f.rows(millraceCatalog, "jobs")
	if len(jobs) != 2 || jobs[0]["name"] != "t1" || jobs[0]["error"] != "broken" || jobs[1]["epoch"] != int64(12) {
		t.Errorf("jobs: %v", jobs)
	}
	splits := f.rows(millraceCatalog, "splits")
	want := []map[string]sqltypes.Datum{
		{"job": int64(idT1), "split": "0", "position": "17", "rows": int64(5), "errors": int64(1), "retained_bytes": nil, "backlog": int64(0), "last_error": nil},
		{"job": int64(idT1), "split": "1", "position": `\x0001`, "rows": int64(0), "errors": int64(0), "retained_bytes": nil, "backlog": int64(0), "last_error": nil},
		{"job": int64(idT1), "split": "2", "position": "4", "rows": int64(2), "errors": int64(0), "retained_bytes": nil, "backlog": int64(30), "last_error": nil},
		{"job": int64(idT1), "split": "3", "position": "5", "rows": int64(7), "errors": int64(2), "retained_bytes": int64(512), "backlog": int64(40), "last_error": "bad"},
	}
	if !reflect.DeepEqual(splits, want) {
		t.Errorf("splits: %v", splits)
	}
	q := f.rows(millraceCatalog, "quarantine")
	if len(q) != 1 || q[0]["error"] != "cut short" || string(q[0]["data"].([]byte)) != "{" {
		t.Errorf("quarantine: %v", q)
	}
}

// TestPkeyNameIsFree: a relation that is called like a primary key's index does not hide it.
func TestPkeyNameIsFree(t *testing.T) {
	snap := fixture()
	snap.Relations[30000] = &catalog.Relation{ID: 30000, Schema: "public", Name: "t1_pkey", Kind: catalog.View, Owner: "root", Definition: "SELECT 1"}
	snap.Index()
	f := openOn(t, snap)
	got, err := f.query("SELECT conname FROM pg_constraint")
	if err != nil || join(got) != "t1_pkey1" {
		t.Errorf("%v %v", got, err)
	}
}

func BenchmarkAttributes(b *testing.B) {
	f := open(b)
	for b.Loop() {
		if _, err := f.y.read(f.facts(), pgCatalog, "pg_attribute"); err != nil {
			b.Fatal(err)
		}
	}
}
