package option

import (
	"errors"
	"testing"
	"time"

	"github.com/millrace/millrace/internal/sqlerr"
)

func TestTypedOptions(t *testing.T) {
	s := New(Connector("demo"), map[string]string{
		"n": "12", "f": "2.5", "b": "ON", "mode": "LATEST", "wait": "250ms", "mins": "2min", "plain": "7", "old": "x",
		"on_error": "skip",
	})
	if got := s.Int("n", 1, 0, 100); got != 12 {
		t.Errorf("Int = %d", got)
	}
	if got := s.Float("f", 1, 0, 100); got != 2.5 {
		t.Errorf("Float = %g", got)
	}
	if !s.Bool("b", false) {
		t.Error("Bool = false")
	}
	if got := s.Enum("mode", "earliest", "earliest", "latest"); got != "latest" {
		t.Errorf("Enum = %q", got)
	}
	for name, want := range map[string]time.Duration{"wait": 250 * time.Millisecond, "mins": 2 * time.Minute, "plain": 7 * time.Second} {
		if got := s.Duration(name, 0, 0, time.Hour, time.Second); got != want {
			t.Errorf("Duration(%s) = %v, want %v", name, got, want)
		}
	}
	if got := s.String("new", "", "old"); got != "x" {
		t.Errorf("alias = %q", got)
	}
	if got := s.Int("absent", 42, 0, 100); got != 42 {
		t.Errorf("default = %d", got)
	}
	if err := s.Done(); err != nil {
		t.Fatal(err)
	}
}

func TestProblems(t *testing.T) {
	cases := []struct {
		name    string
		values  map[string]string
		message string
		hint    string
	}{
		{"unknown near", map[string]string{"topc": "x", "topic": "y"}, `connector "demo" has no option "topc"`, `Perhaps you meant the option "topic".`},
		{"unknown far", map[string]string{"zzzzzzzzzz": "x", "topic": "y"}, `connector "demo" has no option "zzzzzzzzzz"`, ""},
		{"missing", map[string]string{}, `connector "demo" needs the option "topic"`, ""},
		{"not a number", map[string]string{"topic": "t", "n": "many"}, `option "n" must be a whole number, not "many"`, ""},
		{"range", map[string]string{"topic": "t", "n": "99"}, `option "n" must be between 0 and 10, not 99`, ""},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			s := New(Connector("demo"), c.values)
			s.Required("topic")
			s.Int("n", 0, 0, 10)
			var e *sqlerr.Error
			if err := s.Done(); !errors.As(err, &e) {
				t.Fatalf("Done() = %v", err)
			}
			if e.Code != sqlerr.InvalidParameterValue || e.Message != c.message || e.Hint != c.hint {
				t.Errorf("got %s %q hint %q", e.Code, e.Message, e.Hint)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"properties.bootstrap.server", "scan.startup.mode", "topic"}
	if got, ok := Nearest("properties.bootstrap.servers", known); !ok || got != known[0] {
		t.Errorf("Nearest = %q %v", got, ok)
	}
	if got, ok := Nearest("kinesis.stream", known); ok {
		t.Errorf("Nearest found %q for something else", got)
	}
}
