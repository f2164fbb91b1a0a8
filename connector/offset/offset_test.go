package offset

import (
	"bytes"
	"testing"
)

func TestRoundTrip(t *testing.T) {
	if got := string(Encode(42)); got != "1/42" {
		t.Errorf("Encode(42) = %q", got) // persisted: a change here is a format change
	}
	n, err := Decode(Encode(7, 1<<62), 2)
	if err != nil || n[0] != 7 || n[1] != 1<<62 {
		t.Errorf("Decode = %v, %v", n, err)
	}
	for _, bad := range []string{"", "1", "2/3", "1/x", "1/-3", "1/1/1", "1/99999999999999999999"} {
		if _, err := One([]byte(bad)); err == nil {
			t.Errorf("One(%q) succeeded", bad)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte("1/42"))
	f.Fuzz(func(t *testing.T, b []byte) {
		n, err := One(b)
		if err == nil && n >= 0 && len(b) < 5 && b[2] != '0' && b[2] != '+' && !bytes.Equal(Encode(n), b) {
			t.Errorf("One(%q) = %d, but Encode gives %q", b, n, Encode(n))
		}
	})
}
