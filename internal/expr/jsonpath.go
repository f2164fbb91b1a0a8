package expr

import (
	"github.com/millrace/millrace/internal/delta"
	"github.com/millrace/millrace/internal/jsonb"
	"github.com/millrace/millrace/internal/jsonpath"
	"github.com/millrace/millrace/internal/sqltypes"
)

// Functions and operators of SQL/JSON path. The work is internal/jsonpath's.

// maxPaths bounds a context's cache of paths that come out of columns.
const maxPaths = 256

// jsonPath returns the parsed form of a path, from the cache if possible.
func (c *Ctx) jsonPath(text []byte) (*jsonpath.Path, error) {
	if p, ok := c.paths[string(text)]; ok {
		return p, nil
	}
	p, err := jsonpath.Parse(string(text))
	if err != nil {
		return nil, err
	}
	if c.paths == nil || len(c.paths) >= maxPaths {
		c.paths = map[string]*jsonpath.Path{}
	}
	c.paths[string(text)] = p
	return p, nil
}

// pathOptions are the optional arguments vars and silent, and whether zones may be mixed.
func (c *Ctx) pathOptions(vars []byte, silent, tz bool) jsonpath.Options {
	o := jsonpath.Options{Vars: vars, Silent: silent, Now: c.Now}
	if tz {
		o.Zone = c.location()
	}
	return o
}

// pathCall reads the arguments of a jsonb_path function at row i.
func (c *Ctx) pathCall(vecs []*delta.Vec, i int, tz bool) (doc []byte, p *jsonpath.Path, o jsonpath.Options, err error) {
	var vars []byte
	if len(vecs) > 2 {
		vars = vecs[2].Bytes(i)
	}
	p, err = c.jsonPath(vecs[1].Bytes(i))
	return vecs[0].Bytes(i), p, c.pathOptions(vars, len(vecs) > 3 && vecs[3].Bools[i], tz), err
}

// pathTest adapts a test of a path; a silent operator passes silent.
func pathTest(test func(p *jsonpath.Path, doc []byte, o jsonpath.Options) (yes, ok bool, err error), tz, silent bool) Kernel {
	return func(c *Ctx, a Args, out *delta.Vec) {
		a.each(out, func(i int) {
			doc, p, o, err := c.pathCall(a.Vecs, i, tz)
			o.Silent = o.Silent || silent
			var ok bool
			if err == nil {
				out.Bools[i], ok, err = test(p, doc, o)
			}
			switch {
			case err != nil:
				c.Fail(out, i, err)
			case !ok:
				out.SetNull(i)
			}
		})
	}
}

// pathValue adapts a function of the values that a path selects.
func pathValue(finish func(values [][]byte) []byte, tz bool) Kernel {
	return bytesOf(func(c *Ctx, dst []byte, vecs []*delta.Vec, i int) ([]byte, error) {
		doc, p, o, err := c.pathCall(vecs, i, tz)
		if err != nil {
			return dst, err
		}
		values, err := p.Query(doc, o)
		if err != nil {
			return dst, err
		}
		v := finish(values)
		if v == nil {
			return dst, errNull
		}
		return append(dst, v...), nil
	})
}

func firstValue(values [][]byte) []byte {
	if len(values) == 0 {
		return nil
	}
	return values[0]
}

func valueArray(values [][]byte) []byte {
	var b jsonb.Builder
	b.BeginArray()
	for _, v := range values {
		b.Value(v)
	}
	b.EndArray()
	return b.Bytes()
}

// pathQuery is the set-returning jsonb_path_query.
func pathQuery(tz bool) evalFunc {
	return func(c *Ctx, args []sqltypes.Datum, _ []sqltypes.Type, emit func(row []sqltypes.Datum) error) error {
		p, err := c.jsonPath(bytesOfDatum(args[1]))
		if err != nil {
			return err
		}
		var vars []byte
		if len(args) > 2 {
			vars = bytesOfDatum(args[2])
		}
		values, err := p.Query(bytesOfDatum(args[0]), c.pathOptions(vars, len(args) > 3 && args[3].(bool), tz))
		if err != nil {
			return err
		}
		row := make([]sqltypes.Datum, 1)
		for _, v := range values {
			row[0] = v
			if err := emit(row); err != nil {
				return err
			}
		}
		return nil
	}
}

// jsonPathFuncs lists the functions and operators of SQL/JSON path.
func jsonPathFuncs() []Func {
	j, p, b := sqltypes.JSONB, sqltypes.JSONPath, sqltypes.Bool
	args := ts(j, p, j, b)
	out := []Func{
		fn("@?", ts(j, p), b, pathTest((*jsonpath.Path).Exists, false, true), "whether a path selects anything"),
		fn("@@", ts(j, p), b, pathTest((*jsonpath.Path).Match, false, true), "value of a path's predicate"),
	}
	for _, v := range []struct {
		suffix string
		tz     bool
		doc    string
	}{{"", false, ""}, {"_tz", true, ", zones being those of the session where a value has none"}} {
		list := []Func{
			fn("jsonb_path_exists"+v.suffix, args, b, pathTest((*jsonpath.Path).Exists, v.tz, false), "whether a path selects anything"+v.doc),
			fn("jsonb_path_match"+v.suffix, args, b, pathTest((*jsonpath.Path).Match, v.tz, false), "value of a path's predicate"+v.doc),
			fn("jsonb_path_query_array"+v.suffix, args, j, pathValue(valueArray, v.tz), "array of the values that a path selects"+v.doc),
			fn("jsonb_path_query_first"+v.suffix, args, j, pathValue(firstValue, v.tz), "first value that a path selects"+v.doc),
		}
		for _, f := range list {
			if f = f.optional(2); v.tz {
				f = f.stable()
			}
			out = append(out, f)
		}
	}
	return out
}

// jsonPathTableFuncs lists jsonb_path_query.
func jsonPathTableFuncs() []TableFunc {
	j, p, b := sqltypes.JSONB, sqltypes.JSONPath, sqltypes.Bool
	query := scalarSet("jsonb_path_query", ts(j, p, j, b), j, 2, pathQuery(false), "values that a path selects")
	zoned := scalarSet("jsonb_path_query_tz", ts(j, p, j, b), j, 2, pathQuery(true), "values that a path selects, zones being those of the session where a value has none")
	zoned.Volatility = Stable
	return []TableFunc{query, zoned}
}
