package expr

import (
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// CheckMapKey refuses types that cannot be keys of a map: only integers and strings can.
func CheckMapKey(t sqltypes.Type) error {
	if t.IsInteger() || t.Kind == sqltypes.KText || t.Kind == sqltypes.KVarchar {
		return nil
	}
	return sqlerr.New(sqlerr.DatatypeMismatch, "invalid map key type: %s", t.Base())
}

// castMap casts keys and values.
func castMap(from, to sqltypes.Type, explicit bool) Kernel {
	fk, fv := from.KeyValue()
	tk, tv := to.KeyValue()
	return b1c(func(c *Ctx, dst []byte, b []byte) ([]byte, error) {
		keys, values, err := sqlio.ReadMap(from, b)
		if err == nil {
			keys, err = castElems(c, keys, fk, tk, explicit)
		}
		if err == nil {
			values, err = castElems(c, values, fv, tv, explicit)
		}
		if err != nil {
			return dst, err
		}
		out, err := sqlio.MakeMap(to, keys, values)
		return append(dst, out...), err
	})
}
