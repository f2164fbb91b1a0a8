package regex

import "testing"

// Patterns come from users: none may panic or hang.

func FuzzRegex(f *testing.F) {
	for _, p := range []string{"a(b|c)*?d", `[[:alpha:]\d_-]+`, `(?i)x{2,3}`, `\mfoo\M`, "***=a.b", "[[.a.]-c]", `(a)\1`, "(?<=x)y"} {
		f.Add(p, "abcd foo", "i")
	}
	f.Fuzz(func(_ *testing.T, pattern, s, flags string) {
		fl, err := ParseFlags([]byte(flags))
		if err != nil {
			return
		}
		r, err := Compile(pattern, fl)
		if err != nil {
			return
		}
		_ = r.All([]byte(s), 0, func(loc []int) bool { return loc[0] <= loc[1] })
	})
}
