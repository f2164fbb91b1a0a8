package parser

import (
	"reflect"
	"testing"
)

// checkRoundTrip parses sql, formats each statement, parses that again, and compares the trees; and it
// checks that formatting has become stable. It returns the statements.
func checkRoundTrip(t *testing.T, sql string) []Stmt {
	t.Helper()
	stmts, err := Parse(sql)
	if err != nil {
		return nil
	}
	for _, s := range stmts {
		text := Format(s)
		again, err := ParseOne(text)
		if err != nil {
			t.Errorf("%q was formatted as\n%q, which is refused: %v", sql, text, err)
			continue
		}
		if strip(s); !reflect.DeepEqual(s, strip(again)) {
			t.Errorf("%q was formatted as\n%q, which is another tree: it formats as\n%q", sql, text, Format(again))
			continue
		}
		if second := Format(again); second != text {
			t.Errorf("formatting is not stable:\n%q\n%q", text, second)
		}
	}
	return stmts
}

func TestRoundTrip(t *testing.T) {
	for _, file := range []string{"postgres.sql", "streaming.sql"} {
		for _, sql := range lines(t, file) {
			if _, err := Parse(sql); err != nil {
				t.Errorf("%s: refused %q: %v", file, sql, err)
				continue
			}
			checkRoundTrip(t, sql)
		}
	}
}
