package parser

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

// FuzzParse: no text makes the parser panic; an error is one for a client and points into the text;
// what is accepted reads back from its printed form as the same tree.
func FuzzParse(f *testing.F) {
	for _, file := range []string{"postgres.sql", "streaming.sql", "refused.sql"} {
		for _, sql := range lines(f, file) {
			f.Add(sql)
		}
	}
	f.Fuzz(func(t *testing.T, sql string) {
		if _, err := Parse(sql); err != nil {
			var e *sqlerr.Error
			if !errors.As(err, &e) || e.Offset > len(sql)+1 {
				t.Fatalf("%q: %#v", sql, err)
			}
			return
		}
		checkRoundTrip(t, sql)
	})
}
