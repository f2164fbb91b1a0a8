package session

import (
	"testing"

	"github.com/millrace/millrace/frontend/parser"
)

func TestShownStatementsHideSecrets(t *testing.T) {
	tests := []struct{ sql, want string }{
		{"CREATE SECRET s WITH (backend = 'meta') AS 'hush'", "CREATE SECRET s WITH (backend = 'meta') AS '[hidden]'"},
		{"ALTER SECRET s AS 'hush'", "ALTER SECRET s AS '[hidden]'"},
		{"CREATE USER u PASSWORD 'hush'", "CREATE USER u PASSWORD '[hidden]'"},
		{"ALTER USER u WITH PASSWORD 'hush'", "ALTER USER u WITH PASSWORD '[hidden]'"},
		{"CREATE USER u", "CREATE USER u"},
		{"CREATE SOURCE s (v int) WITH (connector = 'mqtt', password = 'hush')", "CREATE SOURCE s (v integer) WITH (connector = 'mqtt', password = '[hidden]')"},
		{"CREATE SOURCE s (v int) WITH (connector = 'mqtt', password = SECRET p)", "CREATE SOURCE s (v int) WITH (connector = 'mqtt', password = SECRET p)"},
		{"create table t (v   int)", "create table t (v   int)"},
		{"CREATE SINK k FROM t WITH (connector = 'kafka') FORMAT PLAIN ENCODE AVRO (schema.registry.password = 'hush')",
			"CREATE SINK k FROM t WITH (connector = 'kafka') FORMAT PLAIN ENCODE AVRO (schema.registry.password = '[hidden]')"},
		{"CREATE SINK k FROM t WITH (connector = 'redis', redis.url = 'redis://u:hush@h:1/0')", "CREATE SINK k FROM t WITH (connector = 'redis', redis.url = 'redis://u:[hidden]@h:1/0')"},
		{"CREATE SINK k FROM t WITH (redis.url = '[\"redis://:hush@a\",\"redis://b\"]')", "CREATE SINK k FROM t WITH (redis.url = '[\"redis://:[hidden]@a\",\"redis://b\"]')"},
		{"CREATE SINK k FROM t WITH (jdbc.url = 'jdbc:postgresql://h/d?user=u&password=hush&x=1')", "CREATE SINK k FROM t WITH (jdbc.url = 'jdbc:postgresql://h/d?user=u&password=[hidden]&x=1')"},
		{"CREATE SINK k FROM t WITH (url = 'http://h:80/a@b')", "CREATE SINK k FROM t WITH (url = 'http://h:80/a@b')"},
		{"SELECT 'password'", "SELECT 'password'"},
	}
	for _, tt := range tests {
		st, err := parser.ParseOne(tt.sql)
		if err != nil {
			t.Fatal(err)
		}
		if got := shown(st); got != tt.want {
			t.Errorf("shown(%s) = %s\nwant %s", tt.sql, got, tt.want)
		}
	}
}
