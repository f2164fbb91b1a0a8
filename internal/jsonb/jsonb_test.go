package jsonb

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"
)

func mustParse(t testing.TB, text string) []byte {
	t.Helper()
	v, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("Parse(%s): %v", text, err)
	}
	return v
}

var samples = []string{`null`, `true`, `-1.50`, `""`, `"a\u0001"`, `[]`, `{}`, `[1,[2,{"a":null}]]`, `{"b":1,"aa":[1.0],"a":"x","a":2}`,
	`{"a":{"b":{}}}`, `[[],"",null,false,1e10]`}

func TestWideContainers(t *testing.T) {
	for _, n := range []int{1, 255, 256, 300, 70000} {
		var b Builder
		b.BeginObject()
		b.Key("list")
		b.BeginArray()
		for i := range n {
			b.Int(int64(i))
		}
		b.EndArray()
		for i := n - 1; i >= 0; i-- {
			b.Key(fmt.Sprint("k", i))
			b.Int(int64(i))
		}
		b.EndObject()
		v := b.Bytes()
		if err := Check(v); err != nil {
			t.Fatalf("%d fields: %v", n, err)
		}
		list, _ := Field(v, "list")
		elem, ok := Index(list, n-1)
		field, ok2 := Field(v, fmt.Sprint("k", n-1))
		if !ok || !ok2 || !bytes.Equal(elem, field) || Len(list) != n || Len(v) != n+1 {
			t.Fatalf("%d fields: element %x, field %x, %d and %d parts", n, elem, field, Len(list), Len(v))
		}
	}
}

func TestDepth(t *testing.T) {
	deep := strings.Repeat("[", maxDepth) + strings.Repeat("]", maxDepth)
	mustParse(t, deep)
	if _, err := Parse([]byte("[" + deep + "]")); err == nil {
		t.Error("nesting beyond the bound passed")
	}
}

func TestRaw(t *testing.T) {
	text := []byte(` { "a" : 1 , "b\n" : [ "x,]" , {"c" : null } , 2.50 ] , "a" : "two" } `)
	cases := []struct{ path, value, asText string }{
		{"a", `"two"`, "two"}, {"b\n", `[ "x,]" , {"c" : null } , 2.50 ]`, `[ "x,]" , {"c" : null } , 2.50 ]`},
		{"b\n/0", `"x,]"`, "x,]"}, {"b\n/-1", `2.50`, "2.50"}, {"b\n/1", `{"c" : null }`, `{"c" : null }`}, {"b\n/1/c", `null`, "NULL"},
		{"b\n/9", "none", ""}, {"c", "none", ""}, {"a/b", "none", ""}, {"b\n/x", "none", ""},
	}
	for _, c := range cases {
		v, ok := RawPath(text, strings.Split(c.path, "/"))
		if !ok {
			if c.value != "none" {
				t.Errorf("%q: not found", c.path)
			}
			continue
		}
		as, ok, err := RawText(v)
		if !ok {
			as = []byte("NULL")
		}
		if string(v) != c.value || string(as) != c.asText || err != nil {
			t.Errorf("%q: %s, as text %s, %v; want %s and %s", c.path, v, as, err, c.value, c.asText)
		}
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range samples {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		if !utf8.Valid(text) {
			return
		}
		v, err := Parse(text)
		if (err == nil) && Validate(text) != nil {
			t.Fatalf("%q is jsonb but not json", text)
		}
		if err != nil {
			// Go's decoder lets lone surrogates and zero through; PostgreSQL's numbers have a limit.
			if json.Valid(text) && !bytes.Contains(text, []byte(`\u`)) && !bytes.ContainsAny(text, "eE") && len(text) < 1000 {
				t.Fatalf("%q is refused: %v", text, err)
			}
			return
		}
		if err := Check(v); err != nil {
			t.Fatalf("%q: %v", text, err)
		}
		out := AppendText(nil, v)
		if !json.Valid(out) || !json.Valid(text) {
			t.Fatalf("%q prints as %q", text, out)
		}
		if again := mustParse(t, string(out)); !bytes.Equal(again, v) {
			t.Fatalf("%q prints as %q, which reads as %x, not %x", text, out, again, v)
		}
		if again := mustParse(t, string(AppendPretty(nil, v))); !bytes.Equal(again, v) {
			t.Fatalf("pretty %q reads differently", text)
		}
	})
}

func FuzzOrder(f *testing.F) {
	for _, a := range samples {
		for _, b := range samples {
			f.Add([]byte(a), []byte(b))
		}
	}
	f.Fuzz(func(t *testing.T, x, y []byte) {
		a, err1 := Parse(x)
		b, err2 := Parse(y)
		if err1 != nil || err2 != nil {
			return
		}
		want := Compare(a, b)
		if got := bytes.Compare(AppendKey(nil, a), AppendKey(nil, b)); got != want || cmp.Compare(Compare(b, a), 0) != -want {
			t.Fatalf("%s and %s: keys %d, values %d and %d", x, y, got, want, Compare(b, a))
		}
		if c, err := Concat(a, b); err != nil || Check(c) != nil {
			t.Fatalf("%s || %s: %x, %v", x, y, c, err)
		}
		if want == 0 && !Contains(a, b) {
			t.Fatalf("%s does not contain its equal %s", x, y)
		}
	})
}

func FuzzCheck(f *testing.F) {
	for _, s := range samples {
		v, _ := Parse([]byte(s))
		f.Add(v)
	}
	f.Fuzz(func(t *testing.T, v []byte) {
		if Check(v) != nil {
			return
		}
		AppendText(nil, v)
		AppendKey(nil, v)
		StripNulls(v)
		Path(v, []string{"a", "0"})
		_, _ = DeletePath(v, []string{"0", "a"})
	})
}

const bid = `{"auction":1001,"bidder":2002,"price":123456,"channel":"apple","url":"https://www.nexmark.com/item.htm?query=1","date_time":"2015-07-15 00:00:00.000","extra":"abcdefghijklmnopqrstuvwxyz"}`

func BenchmarkParse(b *testing.B) {
	b.ReportAllocs()
	b.SetBytes(int64(len(bid)))
	var build Builder
	for range b.N {
		build.Reset()
		if err := build.Parse([]byte(bid)); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkField(b *testing.B) {
	v := mustParse(b, bid)
	b.ReportAllocs()
	for range b.N {
		if _, ok := Field(v, "price"); !ok {
			b.Fatal("no price")
		}
	}
}

func BenchmarkAppendText(b *testing.B) {
	v := mustParse(b, bid)
	b.ReportAllocs()
	var buf []byte
	for range b.N {
		buf = AppendText(buf[:0], v)
	}
}
