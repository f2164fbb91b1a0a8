package regex

import (
	"math/rand"
	"reflect"
	"strings"
	"testing"
)

func TestLiteralOf(t *testing.T) {
	for _, tc := range []struct {
		pattern, text string
		before        int
	}{
		{`(&|\A)channel_id=([^&]*)`, "channel_id=", 1},
		{`abcd`, "abcd", 0},
		{`é?abcd`, "abcd", 2},
		{`(?i:é)?abcd`, "abcd", 4},
		{`[a-c]{2}xyz\d`, "xyz", 8},
		{`(foo|bar)+baz`, "", 0}, // too far behind the beginning
		{`a(?:foo)?bc`, "", 0},
		{`\bfoobar`, "", 0},
		{`(?i)foobar`, "", 0},
		{`foo|bar`, "", 0},
		{`foo.*barbar`, "foo", 0},
	} {
		l := literalOf(tc.pattern, true)
		switch {
		case l == nil && tc.text != "":
			t.Errorf("%s: no literal", tc.pattern)
		case l != nil && (string(l.text) != tc.text || l.before != tc.before):
			t.Errorf("%s: %q at most %d behind the beginning, want %q, %d", tc.pattern, l.text, l.before, tc.text, tc.before)
		}
	}
}

// TestLiteralChangesNothing: with and without the search for a literal the same is found.
func TestLiteralChangesNothing(t *testing.T) {
	rng := rand.New(rand.NewSource(5))
	patterns := []string{`(^|&)ab=(.*)`, `^.?aab`, `(é|a)*?b=aa(.)`, `aab$`, `[ab]{1,3}=ab`, `(^aab|aabb?)`, `é?aab=?`, `(a|^)(b|^)=a&`}
	letters := []string{"a", "b", "=", "&", "é", "aab", "ab=", "\n"}
	for _, p := range patterns {
		for _, flags := range []Flags{{}, {LineAnchor: true}, {IgnoreCase: true}} {
			with, err := Compile(p, flags)
			if err != nil {
				t.Fatal(err)
			}
			without := *with
			without.must = nil
			for range 3000 {
				var b strings.Builder
				for range rng.Intn(9) {
					b.WriteString(letters[rng.Intn(len(letters))])
				}
				s := []byte(b.String())
				x, _ := with.Find(s, 0)
				y, _ := without.Find(s, 0)
				if !reflect.DeepEqual(x, y) {
					t.Fatalf("%s in %q: %v, without the literal %v", p, s, x, y)
				}
				if ok, _ := with.Match(s); ok != (y != nil) {
					t.Fatalf("%s in %q: match %v", p, s, ok)
				}
			}
		}
	}
}

func BenchmarkLiteral(b *testing.B) {
	with, err := Compile(`(&|^)channel_id=([^&]*)`, Flags{})
	if err != nil {
		b.Fatal(err)
	}
	without := *with
	without.must = nil
	s := []byte("https://www.nexmark.com/abcd/efgh/ijkl/item.htm?query=1&channel_id=1074528256")
	for name, r := range map[string]*Regexp{"with": with, "without": &without} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_, _ = r.Find(s, 0)
			}
		})
	}
}
