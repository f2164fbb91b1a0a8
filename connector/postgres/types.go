package postgres

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/millrace/millrace/internal/sqltypes"
)

// carried are the types whose values are the same here: their texts there are read as the type of the same name.
// Everything else (ranges, geometry, xml, tsvector, inet, money, enums, composites, …) is carried as the text that the server prints.
var carried = []sqltypes.Kind{
	sqltypes.KBool, sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KFloat4, sqltypes.KFloat8, sqltypes.KNumeric,
	sqltypes.KText, sqltypes.KVarchar, sqltypes.KBpchar, sqltypes.KName, sqltypes.KBytea,
	sqltypes.KDate, sqltypes.KTime, sqltypes.KTimetz, sqltypes.KTimestamp, sqltypes.KTimestamptz, sqltypes.KInterval,
	sqltypes.KJSON, sqltypes.KJSONB, sqltypes.KUUID, sqltypes.KOid,
	sqltypes.KBit, sqltypes.KVarbit,
}

// builtin maps the OIDs of carried types and of their arrays.
var builtin = func() map[uint32]sqltypes.Type {
	m := map[uint32]sqltypes.Type{}
	for _, k := range carried {
		t := sqltypes.Type{Kind: k}
		m[k.Info().OID] = t
		m[k.Info().ArrayOID] = sqltypes.ArrayOf(t)
	}
	return m
}()

// typeFacts is a row of pg_type.
type typeFacts struct {
	kind  string // typtype
	base  uint32 // of a domain
	mod   int32  // of a domain
	elem  uint32 // of a true array
	delim string
}

// resolver maps upstream types to ours. Any goroutine may use it.
type resolver struct {
	mu struct {
		sync.Mutex
		known map[uint32]typeFacts
	}
}

// unknown returns those of the types that have to be asked for, once.
func (r *resolver) unknown(oids []uint32) []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	var out []string
	for _, o := range oids {
		_, carried := builtin[o]
		_, asked := r.mu.known[o]
		if text := strconv.FormatUint(uint64(o), 10); !carried && !asked && !slices.Contains(out, text) {
			out = append(out, text)
		}
	}
	return out
}

func (r *resolver) learn(oid uint32, f typeFacts) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.known == nil {
		r.mu.known = map[uint32]typeFacts{}
	}
	r.mu.known[oid] = f
}

// load asks for the types that resolve will need, and for those that these are made of.
func (r *resolver) load(ctx context.Context, conn *pgconn.PgConn, oids []uint32) error {
	for {
		missing := r.unknown(oids)
		if len(missing) == 0 {
			return nil
		}
		oids = nil
		rows, err := query(ctx, conn, `SELECT t.oid, t.typtype, t.typbasetype, t.typtypmod,
				CASE WHEN t.typcategory = 'A' AND t.typlen = -1 AND t.oid NOT IN (22, 30) THEN t.typelem ELSE 0 END, coalesce(e.typdelim, ',')
			FROM pg_catalog.pg_type t LEFT JOIN pg_catalog.pg_type e ON e.oid = t.typelem WHERE t.oid IN (`+strings.Join(missing, ",")+`)`)
		if err != nil {
			return err
		}
		for _, row := range rows {
			f := typeFacts{kind: string(row[1]), base: number[uint32](row[2]), mod: number[int32](row[3]), elem: number[uint32](row[4]), delim: string(row[5])}
			r.learn(number[uint32](row[0]), f)
			if f.base != 0 {
				oids = append(oids, f.base)
			}
			if f.elem != 0 {
				oids = append(oids, f.elem)
			}
		}
	}
}

// resolve returns our type for an upstream type and modifier.
func (r *resolver) resolve(oid uint32, mod int32) sqltypes.Type {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.resolveLocked(oid, mod)
}

func (r *resolver) resolveLocked(oid uint32, mod int32) sqltypes.Type {
	for range 64 { // domains over domains
		if t, ok := builtin[oid]; ok {
			if t.Kind == sqltypes.KArray {
				return t // the elements' modifier has done its work upstream
			}
			return t.WithTypmod(mod)
		}
		f := r.mu.known[oid]
		switch {
		case f.kind == "d":
			oid = f.base
			if f.mod >= 0 {
				mod = f.mod
			}
			continue
		case f.elem != 0 && f.delim == ",":
			elem := r.resolveLocked(f.elem, -1)
			if elem.Kind != sqltypes.KArray {
				return sqltypes.ArrayOf(elem)
			}
		}
		break
	}
	return sqltypes.Text
}
