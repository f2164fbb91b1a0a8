package jsonpath

import (
	"testing"

	"github.com/millrace/millrace/internal/jsonb"
)

// Paths and documents come from users: none may panic, and what is printed without an operation in front of a method
// reads as a path again.
func FuzzPath(f *testing.F) {
	for _, p := range []string{"$", "strict $.a[*] ? (@.b == 1 || exists(@.c)).keyvalue()", "$.**{1 to last}.x", `$ ? (@ like_regex "a+" flag "i")`,
		"-$[last - 1, 0 to $x] * 2.5e3", `$.datetime("yyyy-mm-dd").type()`, "($.a > 1) is unknown", `"\u{41}\x42" starts with $"v"`} {
		f.Add(p, `{"a": [1, {"b": 1.50, "c": "x"}], "d": "2020-01-01"}`)
	}
	f.Fuzz(func(t *testing.T, path, doc string) {
		p, err := Parse(path)
		if err != nil {
			return
		}
		_ = p.String()
		v, err := jsonb.Parse([]byte(doc))
		if err != nil {
			return
		}
		for _, silent := range []bool{true, false} {
			o := Options{Vars: v, Silent: silent}
			if jsonb.KindOf(v) != jsonb.Object {
				o.Vars = nil
			}
			exists, ok, err := p.Exists(v, o)
			values, err2 := p.Query(v, o)
			if ok && err == nil && err2 == nil && !exists && len(values) > 0 {
				t.Fatalf("%s over %s: nothing exists, and yet there are %d values", path, doc, len(values))
			}
			_, _, _ = p.Match(v, o)
		}
	})
}
