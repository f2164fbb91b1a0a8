package catalog

import (
	"fmt"
	"strings"
	"time"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/datetime"
	"github.com/millrace/millrace/internal/plan"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// shape describes a system relation: name, OID, relkind, and its columns as "name type, …" with pg_type's type
// names; "!" after a name marks a column that is never NULL. Types that Millrace has not got are replaced:
// pg_node_tree, pg_lsn, inet and aclitem by text, xid by int8, anyarray by text[].
type shape struct {
	name    string
	oid     int64
	kind    byte
	columns string
}

// column is one column of a system relation.
type column struct {
	name    string
	ty      sqltypes.Type
	notNull bool
}

func newRelation(schema string, s shape, c content) *relation {
	r := &relation{schema: schema, name: s.name, oid: s.oid, kind: s.kind, index: map[string]int{}, content: c}
	for _, field := range strings.Split(s.columns, ",") {
		name, ty, ok := strings.Cut(strings.TrimSpace(field), " ")
		name, notNull := strings.CutSuffix(name, "!")
		t, known := typeNamed(ty)
		if !ok || !known {
			panic("catalog: column " + field + " of " + s.name + " has no known type")
		}
		r.index[name] = len(r.cols)
		r.cols = append(r.cols, column{name, t, notNull})
		r.out = append(r.out, plan.Column{Name: name, Type: t})
	}
	r.out = append(r.out, plan.Column{Name: "tableoid", Type: sqltypes.Oid}) // the binder keeps it out of *
	return r
}

// typeNamed finds a type by pg_type.typname, "char" among them.
func typeNamed(name string) (sqltypes.Type, bool) {
	elem, array := strings.CutPrefix(name, "_")
	for _, in := range sqltypes.Infos() {
		if in.PgName == elem && in.Kind != sqltypes.KArray {
			t := sqltypes.Type{Kind: in.Kind}
			if array {
				t = sqltypes.ArrayOf(t)
			}
			return t, true
		}
	}
	return sqltypes.Type{}, false
}

// row gives the values of a row by column name. What it leaves out is NULL, or zero, false or "" in a column
// that is never NULL. Values are Go's: any integer, bool, string, []byte, float64, time.Time, and slices of
// strings or int64 for arrays.
type row map[string]any

// writer collects the rows of one relation.
type writer struct {
	r    *relation
	rows [][]sqltypes.Datum
}

func (w *writer) add(values row) {
	out := make([]sqltypes.Datum, len(w.r.cols)+1)
	out[len(w.r.cols)] = w.r.oid // tableoid
	for i, c := range w.r.cols {
		if c.notNull {
			out[i] = zero(c.ty)
		}
	}
	for name, v := range values {
		i, ok := w.r.index[name]
		if !ok {
			panic("catalog: " + w.r.name + " has no column " + name)
		}
		if v == nil {
			continue
		}
		out[i] = datum(w.r.cols[i].ty, v)
	}
	w.rows = append(w.rows, out)
}

func zero(t sqltypes.Type) sqltypes.Datum {
	switch t.Phys() {
	case sqltypes.PhysBool:
		return false
	case sqltypes.PhysInt64:
		return int64(0)
	case sqltypes.PhysFloat64:
		return float64(0)
	}
	if isArray(t) {
		return sqlio.MakeArray(t, nil)
	}
	return ""
}

func isArray(t sqltypes.Type) bool {
	return t.Kind == sqltypes.KArray || t.Kind == sqltypes.KInt2Vector || t.Kind == sqltypes.KOidVector
}

// datum boxes a Go value as type t wants it.
func datum(t sqltypes.Type, v any) sqltypes.Datum {
	if n, ok := integer(v); ok {
		if t.Phys() == sqltypes.PhysFloat64 {
			return float64(n)
		}
		return n
	}
	switch x := v.(type) {
	case bool, float64, string, []byte, datetime.Interval:
		return x
	case time.Time:
		if x.IsZero() {
			return nil
		}
		return x.UnixMicro() - pgEpochMicros
	case []string:
		elems := make([]sqltypes.Datum, len(x))
		for i, e := range x {
			elems[i] = []byte(e)
		}
		return sqlio.MakeArray(t, elems)
	case []int64:
		elems := make([]sqltypes.Datum, len(x))
		for i, e := range x {
			elems[i] = e
		}
		return sqlio.MakeArray(t, elems)
	}
	panic(fmt.Sprintf("catalog: value of Go type %T", v))
}

func integer(v any) (int64, bool) {
	switch x := v.(type) {
	case int:
		return int64(x), true
	case int32:
		return int64(x), true
	case int64:
		return x, true
	case int16:
		return int64(x), true
	case uint32:
		return int64(x), true
	case uint64:
		return int64(x), true
	case catalog.ID:
		return int64(x), true
	}
	return 0, false
}

// pgEpochMicros is 2000-01-01 UTC in µs since 1970.
const pgEpochMicros = 946684800 * 1_000_000

// orNil is v, or NULL when it is empty.
func orNil(v string) any {
	if v == "" {
		return nil
	}
	return v
}

// yesNo is information_schema's yes_or_no.
func yesNo(b bool) string {
	if b {
		return "YES"
	}
	return "NO"
}
