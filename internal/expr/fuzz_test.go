package expr

import (
	"testing"

	"github.com/millrace/millrace/internal/numeric"
)

// Patterns, templates and documents come from users: none may panic or hang.

func FuzzLike(f *testing.F) {
	f.Add("a%b_c", "axxbyc", "\\")
	f.Add(`a\%`, "a%", "#")
	f.Fuzz(func(t *testing.T, pattern, s, esc string) {
		p, err := likeEscape(nil, []byte(pattern), []byte(esc))
		if err != nil {
			return
		}
		m := newLikeMatcher(p)
		fast, err := m.match([]byte(s))
		if err != nil {
			return
		}
		if slow, err := likeMatch([]byte(s), p); err == nil && slow != fast {
			t.Errorf("%q like %q: shortcut says %v, the matcher %v", s, p, fast, slow)
		}
	})
}

func FuzzJSONText(f *testing.F) {
	f.Add(`{"a": [1, {"b": "\u00e9"}], "c": null}`, "a")
	f.Add(`["`, "x")
	f.Fuzz(func(_ *testing.T, doc, key string) {
		jsonChild([]byte(doc), []byte(key), 0, false)
		jsonChild([]byte(doc), nil, -1, true)
		jsonPath([]byte(doc), []string{key, "0"})
		jsonStripNulls(nil, []byte(doc))
		jsonTypeof(nil, []byte(doc))
	})
}

func FuzzNumberTemplate(f *testing.F) {
	f.Add("FM999,990.00S", "12.5")
	f.Add(`"x"9V9PRth`, "-3")
	f.Fuzz(func(_ *testing.T, format, number string) {
		if d, err := numeric.Parse(number); err == nil && len(number) < 50 {
			_, _ = decToChar(nil, d, []byte(format))
		}
		_, _ = toNumber([]byte(number), []byte(format))
	})
}
