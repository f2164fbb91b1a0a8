package all

import (
	"errors"
	"testing"

	"github.com/millrace/millrace/internal/sqlerr"
)

func TestFind(t *testing.T) {
	for _, name := range []string{"kafka", "nexmark", "datagen", "posix_fs", "s3"} {
		if _, err := Source(name); err != nil {
			t.Error(err)
		}
	}
	for _, name := range []string{"kafka", "blackhole", "posix_fs", "fs", "postgres", "mysql", "jdbc", "s3", "iceberg"} {
		if _, err := Sink(name); err != nil {
			t.Error(err)
		}
	}
	cases := []struct {
		name string
		code sqlerr.Code
		hint string
	}{
		{"kafak", sqlerr.UndefinedObject, `Perhaps you meant "kafka".`},
		{"", sqlerr.InvalidParameterValue, "Known are: datagen, kafka, mqtt, mysql-cdc, nats, nexmark, posix_fs, postgres-cdc, s3, socket, webhook."},
		{"iceberg-catalog", sqlerr.UndefinedObject, "Known are: datagen, kafka, mqtt, mysql-cdc, nats, nexmark, posix_fs, postgres-cdc, s3, socket, webhook."},
	}
	for _, c := range cases {
		_, err := Source(c.name)
		var e *sqlerr.Error
		if !errors.As(err, &e) || e.Code != c.code || e.Hint != c.hint {
			t.Errorf("Source(%q) = %v, hint %q", c.name, err, e.Hint)
		}
	}
}
