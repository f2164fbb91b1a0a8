package postgres

import (
	"encoding/hex"
	"fmt"
	"strings"
	"testing"
)

// recorded are messages of PostgreSQL 15.
var recorded = []struct{ hex, want string }{
	{"42" + "00000000016b3a70" + "0002a5f1c8d3e700" + "000002f1", "begin 0/16B3A70 744000000000000"},
	{"43" + "00" + "00000000016b3a70" + "00000000016b3aa0" + "0002a5f1c8d3e700", "commit 0/16B3AA0"},
	{"52" + "00004001" + "7075626c696300" + "7400" + "64" + "0002" + "01" + "696400" + "00000017" + "ffffffff" + "00" + "7600" + "00000019" + "ffffffff",
		"relation 16385 public.t d [{id 23 -1 true} {v 25 -1 false}]"},
	{"49" + "00004001" + "4e" + "0002" + "74" + "00000001" + "31" + "6e", "insert 16385 new t:1 n:"},
	{"55" + "00004001" + "4b" + "0002" + "74" + "00000001" + "31" + "6e" + "4e" + "0002" + "74" + "00000001" + "32" + "75", "update 16385 K t:1 n: new t:2 u:"},
	{"55" + "00004001" + "4e" + "0002" + "74" + "00000001" + "31" + "74" + "00000002" + "6869", "update 16385 new t:1 t:hi"},
	{"44" + "00004001" + "4f" + "0002" + "74" + "00000001" + "31" + "6e", "delete 16385 O t:1 n:"},
	{"54" + "00000002" + "01" + "00004001" + "00004002", "truncate [16385 16386]"},
}

// describeMessage reads a message and prints it.
func describeMessage(kind byte, b []byte) (string, error) {
	switch kind {
	case msgBegin:
		m, err := parseBegin(b)
		return fmt.Sprintf("begin %s %d", m.final, m.at), err
	case msgCommit:
		end, err := parseCommit(b)
		return fmt.Sprintf("commit %s", end), err
	case msgRelation:
		m, err := parseRelation(b)
		return fmt.Sprintf("relation %d %s.%s %c %v", m.oid, m.schema, m.name, m.identity, m.cols), err
	case msgTruncate:
		oids, err := parseTruncate(b)
		return fmt.Sprintf("truncate %v", oids), err
	}
	var c rowChange
	err := c.parse(kind, b)
	var out strings.Builder
	fmt.Fprintf(&out, "%s %d", map[byte]string{msgInsert: "insert", msgUpdate: "update", msgDelete: "delete"}[kind], c.oid)
	if c.oldKind != 0 {
		fmt.Fprintf(&out, " %c", c.oldKind)
		for _, v := range c.old {
			fmt.Fprintf(&out, " %c:%s", v.kind, v.text)
		}
	}
	if c.hasRow {
		out.WriteString(" new")
		for _, v := range c.row {
			fmt.Fprintf(&out, " %c:%s", v.kind, v.text)
		}
	}
	return out.String(), err
}

func TestMessages(t *testing.T) {
	for _, r := range recorded {
		b, err := hex.DecodeString(r.hex)
		if err != nil {
			t.Fatal(err)
		}
		got, err := describeMessage(b[0], b[1:])
		if !strings.HasPrefix(r.want, "begin") && got != r.want || err != nil {
			t.Errorf("%s: %q, %v; want %q", r.hex, got, err, r.want)
		}
		for n := 1; n < len(b); n++ { // cut short, it is an error
			if got, err := describeMessage(b[0], b[1:n]); err == nil {
				t.Errorf("%s, cut after %d bytes: %q", r.hex, n, got)
			}
		}
	}
}

func FuzzMessages(f *testing.F) {
	for _, r := range recorded {
		b, _ := hex.DecodeString(r.hex)
		f.Add(b)
	}
	f.Fuzz(func(_ *testing.T, b []byte) {
		if len(b) > 0 {
			_, _ = describeMessage(b[0], b[1:])
		}
	})
}

func TestResume(t *testing.T) {
	for _, r := range []resume{{1, 2, 0, 0}, {1 << 63, 1 << 60, 77, 1 << 40}} {
		if got, err := decodeResume(r.encode()); err != nil || got != r {
			t.Errorf("%+v: %+v, %v", r, got, err)
		}
	}
	full := resume{1, 2, 3, 4}.encode()
	for n := range len(full) {
		if r, err := decodeResume(full[:n]); err == nil && n != 17 {
			t.Errorf("%d bytes: %+v", n, r)
		}
	}
}

func FuzzResume(f *testing.F) {
	f.Add(resume{1, 2, 3, 4}.encode())
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := decodeResume(b); err == nil {
			if again, err := decodeResume(r.encode()); err != nil || r.final != 0 && again != r {
				t.Errorf("%+v becomes %+v, %v", r, again, err)
			}
		}
	})
}

func TestCopyText(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "a"}, {`a\tb\n\\N`, "a\tb\n\\N"}, {`\b\f\r\v`, "\b\f\r\v"}, {`end\`, `end\`}, {"", ""},
	} {
		if got := string(unescape(nil, []byte(c.in))); got != c.want {
			t.Errorf("%q is %q, want %q", c.in, got, c.want)
		}
	}
}

func TestSplitDots(t *testing.T) {
	for _, c := range []struct{ in, want string }{
		{"a", "[a]"}, {"a.b", "[a b]"}, {`"a.b"."c""d"`, `[a.b c"d]`}, {"", ""}, {"a.", ""}, {`"a`, ""}, {`"a"b`, ""}, {".a", ""},
	} {
		got, err := splitDots(c.in)
		if text := fmt.Sprint(got); err == nil && text != c.want || err != nil && c.want != "" {
			t.Errorf("%q is %s, %v; want %s", c.in, text, err, c.want)
		}
	}
}
