package expr

import (
	"fmt"
	"slices"

	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/numeric"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqlio"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions about the session and the server. What needs the catalog is in catalog.go.

var nameArray = sqltypes.ArrayOf(sqltypes.Name)

// session returns the session, or an error where nobody is asking (a streaming job).
func (c *Ctx) session(name string) (Session, error) {
	if c.Session == nil {
		return nil, sqlerr.New(sqlerr.FeatureNotSupported, "function %s is not available in a streaming query", name).
			WithHint("It depends on the session that asks.")
	}
	return c.Session, nil
}

// about adapts a fact of the session that is a text.
func about(name string, f func(s Session) (string, bool)) Kernel {
	return b0(func(c *Ctx, dst []byte) ([]byte, error) {
		s, err := c.session(name)
		if err != nil {
			return dst, err
		}
		text, ok := f(s)
		if !ok {
			return dst, errNull
		}
		return append(dst, text...), nil
	})
}

func currentSchema(s Session) (string, bool) {
	for _, name := range s.SearchPath() {
		if name != "pg_catalog" && name != "pg_temp" {
			return name, true
		}
	}
	return "", false
}

// currentSchemas lists the search path, with the schemas searched implicitly when all.
func currentSchemas(c *Ctx, dst []byte, all bool) ([]byte, error) {
	s, err := c.session("current_schemas")
	if err != nil {
		return dst, err
	}
	path := s.SearchPath()
	var out []sqltypes.Datum
	if all && !slices.Contains(path, "pg_catalog") {
		out = append(out, []byte("pg_catalog"))
	}
	for _, name := range path {
		if all || name != "pg_catalog" {
			out = append(out, []byte(name))
		}
	}
	return append(dst, sqlio.MakeArray(nameArray, out)...), nil
}

// serverVersion is the PostgreSQL release whose behaviour is ours.
const serverVersion = "15.0"

func version(c *Ctx, dst []byte) ([]byte, error) {
	v := serverVersion
	if c.Session != nil {
		if s, ok := c.Session.Setting("server_version"); ok {
			v = s
		}
	}
	return append(dst, "PostgreSQL "+v+" (Millrace)"...), nil
}

func currentSetting(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	s, err := c.session("current_setting")
	if err != nil {
		return dst, err
	}
	name := string(vecs[0].Bytes(i))
	v, ok := s.Setting(name)
	switch {
	case ok:
		return append(dst, v...), nil
	case boolArg(vecs, 1, i, false):
		return dst, errNull
	}
	return dst, sqlerr.New(sqlerr.UndefinedObject, "unrecognized configuration parameter \"%s\"", name)
}

// setConfig is SET as a function; NULL resets, as it does in PostgreSQL.
func setConfig(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	s, err := c.session("set_config")
	if err != nil {
		return dst, err
	}
	if vecs[0].IsNull(i) {
		return dst, sqlerr.New(sqlerr.NullValueNotAllowed, "SET requires parameter name")
	}
	name, value := string(vecs[0].Bytes(i)), ""
	if !vecs[1].IsNull(i) {
		value = string(vecs[1].Bytes(i))
	}
	if err := s.SetSetting(name, value, !vecs[2].IsNull(i) && vecs[2].Bools[i]); err != nil {
		return dst, err
	}
	if now, ok := s.Setting(name); ok {
		value = now
	}
	return append(dst, value...), nil
}

func pgTypeof(_ *Ctx, a Args, out *delta.Vec) {
	oid := int64(a.Vecs[0].Type.OID())
	a.each(out, func(i int) { out.Ints[i] = oid })
}

func formatType(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
	if vecs[0].IsNull(i) {
		return dst, errNull
	}
	oid := vecs[0].Ints[i]
	if oid == 0 {
		return append(dst, '-'), nil
	}
	t, ok := sqltypes.ByOID(uint32(oid))
	if !ok {
		if named := c.settings().RegName; named != nil {
			if name, ok := named(sqltypes.KRegtype, oid); ok {
				return append(dst, name...), nil
			}
		}
		return append(dst, "???"...), nil
	}
	if vecs[1].IsNull(i) {
		return append(dst, t.String()...), nil
	}
	typmod, tail := int32(vecs[1].Ints[i]), ""
	if t.Kind == sqltypes.KArray {
		t, tail = t.ElemType(), "[]"
	}
	return append(append(dst, formatModified(t, typmod)...), tail...), nil
}

// formatModified names a scalar type with a modifier, negative for none, even one that it cannot have. A bpchar or bit
// without a length is not what its SQL name says, which means a length of one.
func formatModified(t sqltypes.Type, typmod int32) string {
	if typmod < 0 {
		switch t.Kind {
		case sqltypes.KBpchar:
			return "bpchar"
		case sqltypes.KBit:
			return `"bit"`
		}
		return t.String()
	}
	switch t.Kind {
	case sqltypes.KBool, sqltypes.KInt2, sqltypes.KInt4, sqltypes.KInt8, sqltypes.KFloat4, sqltypes.KFloat8:
		return t.String()
	case sqltypes.KBpchar, sqltypes.KVarchar:
		if typmod <= 4 {
			return t.String()
		}
	case sqltypes.KNumeric:
		if typmod < 4 {
			return t.String()
		}
	}
	if m := t.WithTypmod(typmod); m.String() != t.String() || t.Kind == sqltypes.KInterval {
		return m.String()
	}
	return fmt.Sprintf("%s(%d)", t, typmod)
}

func encodingToChar(dst []byte, n int64) []byte {
	if n < 0 || n >= int64(len(encodingNames)) {
		return dst
	}
	return append(dst, encodingNames[n]...)
}

func charToEncoding(name []byte) int64 {
	e, err := encodingOf(name, "encoding")
	if err != nil {
		return -1
	}
	return int64(slices.Index(encodingNames, e.name))
}

// sizePretty prints a number of bytes with the unit that keeps it below 10240.
func sizePretty(dst []byte, n numeric.Dec) ([]byte, error) {
	units := []string{" bytes", " kB", " MB", " GB", " TB", " PB"}
	limit, two, step := numeric.FromInt64(10*1024), numeric.FromInt64(2), numeric.FromInt64(1024)
	k := 0
	half := false // n counts halves of the unit, for rounding at the end
	for k < len(units)-1 {
		bar := limit
		if half {
			bar = numeric.FromInt64(2*10*1024 - 1)
		}
		if n.Abs().Cmp(bar) < 0 {
			break
		}
		by := step
		if !half {
			by = numeric.FromInt64(512)
		}
		q, err := n.DivTrunc(by)
		if err != nil {
			return dst, err
		}
		n, half = q, true
		k++
	}
	if half {
		one := numeric.FromInt64(int64(max(n.Sign(), -1)))
		if n.Sign() == 0 {
			one = numeric.FromInt64(0)
		}
		sum, err := n.Add(one)
		if err != nil {
			return dst, err
		}
		if n, err = sum.DivTrunc(two); err != nil {
			return dst, err
		}
	}
	return append(n.AppendText(dst), units[k]...), nil
}

func sizePrettyInt(dst []byte, n int64) ([]byte, error) { return sizePretty(dst, numeric.FromInt64(n)) }

func columnSize(_ *Ctx, vecs []*delta.Vec, i int) (int64, error) {
	switch v := vecs[0]; v.Type.Phys() {
	case sqltypes.PhysBytes:
		return int64(len(v.Bytes(i))) + 4, nil
	case sqltypes.PhysNumeric:
		return int64(len(v.Decs[i].AppendBinary(nil))), nil
	default:
		return int64(max(v.Type.Len(), 1)), nil
	}
}

func uuidV4(c *Ctx, dst []byte) ([]byte, error) {
	id, err := newUUID()
	return append(dst, id[:]...), err
}

func collationFor(_ *Ctx, _ []sqltypes.Datum, types []sqltypes.Type) (sqltypes.Datum, error) {
	t := types[0]
	if t.Kind == sqltypes.KArray {
		t = t.ElemType()
	}
	switch {
	case t.Kind == sqltypes.KName:
		return "\"C\"", nil
	case t.IsString(), t.Kind == sqltypes.KUnknown:
		return "\"default\"", nil
	}
	return nil, sqlerr.New(sqlerr.DatatypeMismatch, "collations are not supported by type %s", t)
}

// sessionFuncs lists what a session can be asked about itself.
func sessionFuncs() []Func {
	n, t, i4, b, oid := sqltypes.Name, sqltypes.Text, sqltypes.Int4, sqltypes.Bool, sqltypes.Oid
	user := about("current_user", func(s Session) (string, bool) { return s.User(), true })
	sessionUser := about("session_user", func(s Session) (string, bool) {
		if who, ok := s.Setting("session_authorization"); ok {
			return who, true
		}
		return s.User(), true
	})
	database := about("current_database", func(s Session) (string, bool) { return s.Database(), true })
	constText := func(s string) Kernel {
		return b0(func(_ *Ctx, dst []byte) ([]byte, error) { return append(dst, s...), nil })
	}
	no := k0(func(*Ctx) (bool, error) { return false, nil })
	list := []Func{
		fn("current_user", nil, n, user, "name of the user"),
		fn("session_user", nil, n, sessionUser, "name of the user who logged in"),
		fn("user", nil, n, user, "name of the user"),
		fn("current_role", nil, n, user, "name of the user"),
		fn("current_database", nil, n, database, "name of the database"),
		fn("current_catalog", nil, n, database, "name of the database"),
		fn("current_schema", nil, n, about("current_schema", currentSchema), "first schema of the search path"),
		fn("current_schemas", ts(b), nameArray, b1c(currentSchemas), "schemas of the search path"),
		fn("version", nil, t, b0(version), "release"),
		fn("current_setting", ts(t, b), t, bytesOf(currentSetting), "value of a parameter").optional(1),
		fn("pg_backend_pid", nil, i4, k0(func(c *Ctx) (int64, error) {
			s, err := c.session("pg_backend_pid")
			if err != nil {
				return 0, err
			}
			return int64(s.PID()), nil
		}), "number of the session"),
		fn("pg_client_encoding", nil, n, constText("UTF8"), "encoding of the client"),
		fn("getdatabaseencoding", nil, n, constText("UTF8"), "encoding of the database"),
		fn("pg_typeof", ts(sqltypes.Any), sqltypes.Regtype, pgTypeof, "type of a value").onNulls(),
		fn("format_type", ts(oid, i4), t, bytesOf(formatType), "name of a type with its modifier").onNulls(),
		fn("pg_encoding_to_char", ts(i4), n, b1(encodingToChar), "name of an encoding"),
		fn("pg_char_to_encoding", ts(n), i4, k1(charToEncoding), "number of an encoding"),
		fn("pg_encoding_max_length", ts(i4), i4, k1(func(int64) int64 { return 4 }), "bytes of the longest character"),
		fn("pg_is_in_recovery", nil, b, no, "whether the server is a standby"),
		fn("pg_jit_available", nil, b, no, "whether expressions are compiled to machine code"),
		fn("pg_my_temp_schema", nil, oid, k0(func(*Ctx) (int64, error) { return 0, nil }), "schema of temporary tables, 0 for none"),
		fn("pg_is_other_temp_schema", ts(oid), b, k1(func(int64) bool { return false }), "whether a schema holds another session's temporary tables"),
		fn("row_security_active", ts(oid), b, k1(func(int64) bool { return false }), "whether row security applies to a table"),
		fn("row_security_active", ts(t), b, k1(func([]byte) bool { return false }), "whether row security applies to a table"),
		fn("inet_server_addr", nil, t, b0(func(_ *Ctx, dst []byte) ([]byte, error) { return dst, errNull }), "address of the server"),
		fn("inet_client_addr", nil, t, b0(func(_ *Ctx, dst []byte) ([]byte, error) { return dst, errNull }), "address of the client"),
		fn("getpgusername", nil, n, user, "name of the user"),
		fn("pg_collation_for", ts(sqltypes.Any), t, boxed(collationFor), "collation of a value"),
		fn("pg_column_compression", ts(sqltypes.Any), t, b0(func(_ *Ctx, dst []byte) ([]byte, error) { return dst, errNull }), "how a value is compressed, NULL for not"),
		fn("pg_column_size", ts(sqltypes.Any), i4, int64Rows(columnSize), "bytes that a value takes"),
	}
	for i := range list {
		list[i] = list[i].stable()
	}
	return append(list,
		fn("set_config", ts(t, t, b), t, bytesOf(setConfig), "sets a parameter").onNulls().volatile(),
		fn("pg_size_pretty", ts(sqltypes.Int8), t, b1e(sizePrettyInt), "number of bytes with a unit"),
		fn("pg_size_pretty", ts(sqltypes.Numeric), t, b1e(sizePretty), "number of bytes with a unit"),
		fn("gen_random_uuid", nil, sqltypes.UUID, b0(uuidV4), "random UUID").volatile())
}
