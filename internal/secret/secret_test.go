package secret

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/sqlerr"
)

func vault(t *testing.T, k Key, secrets ...*catalog.Secret) *Vault {
	t.Helper()
	snap := &catalog.Snapshot{Secrets: map[catalog.ID]*catalog.Secret{}}
	for _, s := range secrets {
		snap.Secrets[s.ID] = s
	}
	v, err := New(k, func() *catalog.Snapshot { return snap }, filepath.Join(t.TempDir(), "secrets"))
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestSealedValuesOpenUnderTheirKeyAndIDOnly(t *testing.T) {
	v := vault(t, Key{1})
	s := &catalog.Secret{ID: 7, Name: "pw", Sealed: v.Seal(7, "hush")}
	if strings.Contains(string(s.Sealed), "hush") || string(s.Sealed) == string(v.Seal(7, "hush")) {
		t.Errorf("sealed value %q shows the value, or is the same twice", s.Sealed)
	}
	if got, err := v.Value(s); err != nil || got != "hush" {
		t.Errorf("Value = %q, %v", got, err)
	}
	other := *s
	other.ID = 8
	if _, err := v.Value(&other); err == nil {
		t.Error("a value opened under another secret's id")
	}
	_, err := vault(t, Key{2}).Value(s)
	if sqlerr.CodeOf(err) != sqlerr.ObjectNotInPrerequisiteState {
		t.Errorf("with another key: %v", err)
	}
	for n := range s.Sealed {
		damaged := *s
		damaged.Sealed = append([]byte(nil), s.Sealed...)
		damaged.Sealed[n] ^= 1
		if _, err := v.Value(&damaged); err == nil {
			t.Errorf("a value with byte %d changed opened", n)
		}
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "secret.key")
	k, err := KeyFile(path)
	if err != nil || k == (Key{}) {
		t.Fatalf("KeyFile = %v, %v", k, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the key file is %v, %v; want mode 0600", st.Mode(), err)
	}
	if again, err := KeyFile(path); err != nil || again != k {
		t.Errorf("the second start has another key: %v", err)
	}
	text, _ := os.ReadFile(path)
	if given, err := ParseKey(string(text)); err != nil || given != k {
		t.Errorf("ParseKey of the file: %v", err)
	}
	for _, bad := range []string{"", "abc", strings.Repeat("ab", 31), strings.Repeat("zz", 32)} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("ParseKey(%q) succeeded", bad)
		}
	}
	if err := os.WriteFile(path, []byte("nonsense"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := KeyFile(path); err == nil || strings.Contains(err.Error(), "nonsense") {
		t.Errorf("KeyFile of a damaged file: %v", err)
	}
}

func TestReveal(t *testing.T) {
	v := vault(t, Key{})
	s := &catalog.Secret{ID: 3, Name: "pw", Sealed: v.Seal(3, "hush"), Version: 1}
	v.catalog().Secrets[3] = s
	c := catalog.Connector{Options: map[string]string{"user": "u"}, Secrets: map[string]catalog.SecretRef{"pw": {ID: 3}, "ca": {ID: 3, File: true}},
		FormatOptions: map[string]string{}, FormatSecrets: map[string]catalog.SecretRef{"registry.password": {ID: 3}}}
	open, values, err := v.Reveal(c)
	if err != nil || open.Options["pw"] != "hush" || open.Options["user"] != "u" || open.FormatOptions["registry.password"] != "hush" || len(values) != 3 {
		t.Fatalf("Reveal = %v, %q, %v", open, values, err)
	}
	if len(c.Options) != 1 || len(c.FormatOptions) != 0 {
		t.Errorf("Reveal has changed what it was given: %v", c)
	}
	path := open.Options["ca"]
	if b, err := os.ReadFile(path); err != nil || string(b) != "hush" {
		t.Errorf("the file holds %q, %v", b, err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("the file is %v, %v; want mode 0600", st.Mode(), err)
	}
	next := *s
	next.Sealed, next.Version = v.Seal(3, "other"), 2
	v.catalog().Secrets[3] = &next
	if open, _, err = v.Reveal(c); err != nil || open.Options["ca"] == path {
		t.Errorf("a new value has the old one's file %q, %v", open.Options["ca"], err)
	}
	if err := v.Clear(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); !os.IsNotExist(err) {
		t.Errorf("the file outlives Clear: %v", err)
	}
	delete(v.catalog().Secrets, 3)
	if _, _, err := v.Reveal(c); sqlerr.CodeOf(err) != sqlerr.UndefinedObject {
		t.Errorf("Reveal of a secret that is gone: %v", err)
	}
}

func TestRedactor(t *testing.T) {
	r := NewRedactor([]string{"h&sh"}, catalog.Connector{Options: map[string]string{"password": "longpassword", "username": "somebody", "token": "abc",
		"url": "redis://u:urlpassword@h"}})
	for in, want := range map[string]string{
		"login with h&sh failed":        "login with [hidden] failed",
		"redis://:h%26sh@host":          "redis://:[hidden]@host",
		"redis://u:urlpassword@h":       "redis://u:[hidden]@h",
		"bad longpassword of somebody":  "bad [hidden] of somebody",
		"abc is too short to look for":  "abc is too short to look for",
		"nothing of interest (h & sh).": "nothing of interest (h & sh).",
	} {
		if got := r.Text(in); got != want {
			t.Errorf("Text(%q) = %q, want %q", in, got, want)
		}
	}
	cause := errors.New("h&sh")
	err := r.Error(fmt.Errorf("connect: %w", sqlerr.New(sqlerr.ConnectionFailure, "no %s", "h&sh").WithDetail("d h&sh").WithHint("x h&sh").WithCause(cause)))
	var e *sqlerr.Error
	if !errors.As(err, &e) || e.Code != sqlerr.ConnectionFailure || strings.Contains(fmt.Sprint(e.Message, e.Detail, e.Hint), "h&sh") || errors.Unwrap(e) != nil {
		t.Errorf("Error = %#v", err)
	}
	if err := r.Error(cause); err.Error() != "[hidden]" {
		t.Errorf("Error = %v", err)
	}
	for _, same := range []error{nil, context.Canceled, fmt.Errorf("x: %w", context.DeadlineExceeded)} {
		if got := r.Error(same); got != same {
			t.Errorf("Error(%v) = %v", same, got)
		}
	}
	var out strings.Builder
	log := r.Logger(slog.New(slog.NewTextHandler(&out, nil))).With("at", "h&sh")
	log.Info("h&sh", "err", cause, "n", 4)
	if got := out.String(); strings.Contains(got, "h&sh") || !strings.Contains(got, "n=4") {
		t.Errorf("logged %q", got)
	}
	if NewRedactor(nil, catalog.Connector{Options: map[string]string{"topic": "something"}}) != nil {
		t.Error("there is nothing to redact, and yet a redactor")
	}
}
