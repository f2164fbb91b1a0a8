package sqltls_test

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/mysql"
	"github.com/millrace/millrace/connector/mysqlsink"
	"github.com/millrace/millrace/connector/pgsink"
	"github.com/millrace/millrace/connector/postgres"
	"github.com/millrace/millrace/internal/catalog"
	"github.com/millrace/millrace/internal/dbtest"
	"github.com/millrace/millrace/internal/sqlerr"
	"github.com/millrace/millrace/internal/sqltypes"
)

// subject is a connector that connects to a server.
type subject struct {
	name    string
	options map[string]string // those that are always given
	host    string            // the name of the option for the host
	user    string
	source  connector.Source
	sink    connector.Sink
}

func subjects(db string, port int, source connector.Source, sourceName string, sink connector.Sink, sinkName, scheme string) []subject {
	p := fmt.Sprint(port)
	return []subject{
		{sourceName, map[string]string{"port": p, "database.name": db}, "hostname", "username", source, nil},
		{sinkName, map[string]string{"port": p, "database": db, "table": "target", "type": "append-only"}, "host", "user", nil, sink},
		{"jdbc", map[string]string{"jdbc.url": fmt.Sprintf("jdbc:%s://HOST:%d/%s", scheme, port, db), "table": "target", "type": "append-only"}, "", "user", nil, sink},
	}
}

// try validates a definition.
func (s *subject) try(host, user string, options map[string]string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	all := map[string]string{s.user: user}
	for _, m := range []map[string]string{s.options, options} {
		for k, v := range m {
			all[k] = v
		}
	}
	if s.host != "" {
		all[s.host] = host
	} else {
		all["jdbc.url"] = strings.Replace(all["jdbc.url"], "HOST", host, 1)
	}
	c := catalog.Connector{Name: s.name, Options: all}
	if s.sink != nil {
		return s.sink.Validate(ctx, &connector.SinkSpec{Name: "s", Connector: c, Columns: []catalog.Column{{Name: "id", Type: sqltypes.Int4}}, AppendOnly: true, Instance: "test/s"})
	}
	_, err := s.source.Validate(ctx, &connector.SourceSpec{Name: "s", Connector: c, Instance: "test/s"})
	return err
}

// check tries everything that may be said about TLS. The server has TLS or not; the user "tls" may come with it only, the user "cert" with a certificate only.
func check(t *testing.T, subjects []subject, on bool, ours, other *dbtest.Authority) {
	type options = map[string]string
	clientCert, clientKey := ours.Issue(t, "cert")
	badCert, badKey := other.Issue(t, "cert")
	pem, err := os.ReadFile(ours.File)
	if err != nil {
		t.Fatal(err)
	}
	none := filepath.Join(t.TempDir(), "none")
	const trusted, noTLS = "does not come from a trusted authority", "does not speak TLS"
	cases := []struct {
		when       string // "" always
		host, user string
		options    options
		want       string // in the error; "" there is none
	}{
		{"off", "127.0.0.1", "plain", options{"ssl.mode": "disable"}, ""},
		{"off", "127.0.0.1", "plain", nil, ""},
		{"off", "127.0.0.1", "plain", options{"ssl.mode": "preferred"}, ""},
		{"off", "127.0.0.1", "plain", options{"ssl.mode": "required"}, noTLS},
		{"off", "localhost", "plain", options{"ssl.mode": "verify-full", "ssl.root.cert": ours.File}, noTLS},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "disabled"}, "tls"}, // the server says why
		{"on", "127.0.0.1", "tls", nil, ""},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "require"}, ""},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "require", "ssl.root.cert": other.File}, trusted},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "verify_ca", "ssl.root.cert": ours.File}, ""},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "VERIFY_CA", "ssl.root.cert": string(pem)}, ""},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "verify-ca", "ssl.root.cert": other.File}, trusted},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "verify-ca"}, trusted},
		{"on", "127.0.0.1", "tls", options{"ssl.mode": "verify-full", "ssl.root.cert": ours.File}, "is for another name"},
		{"on", "localhost", "tls", options{"ssl.mode": "verify-full", "ssl.root.cert": ours.File}, ""},
		{"on", "localhost", "tls", options{"ssl.mode": "verify_identity", "ssl.root.cert": other.File}, trusted},
		{"on", "localhost", "cert", options{"ssl.mode": "verify-full", "ssl.root.cert": ours.File}, "cert"}, // the server says why
		{"on", "localhost", "cert", options{"ssl.mode": "verify-full", "ssl.root.cert": ours.File, "ssl.client.cert": clientCert, "ssl.client.key": clientKey}, ""},
		{"on", "localhost", "cert", options{"ssl.mode": "require", "ssl.client.cert": badCert, "ssl.client.key": badKey}, "TLS"},
		{"", "localhost", "tls", options{"ssl.mode": "require", "ssl.client.cert": clientCert}, "go together"},
		{"", "localhost", "tls", options{"ssl.mode": "require", "ssl.client.cert": clientCert, "ssl.client.key": badKey}, "cannot be used"},
		{"", "localhost", "tls", options{"ssl.mode": "verify-ca", "ssl.root.cert": none}, "cannot be used"},
		{"", "localhost", "tls", options{"ssl.mode": "verify-ca", "ssl.root.cert": clientKey}, "cannot be used"},
		{"", "localhost", "tls", options{"ssl.mode": "strict"}, "must be one of disable, prefer, require, verify-ca, verify-full"},
	}
	for _, s := range subjects {
		for _, c := range cases {
			if c.when == "on" && !on || c.when == "off" && on {
				continue
			}
			err := s.try(c.host, c.user, c.options)
			what := fmt.Sprintf("%s: user %s, host %s, %v", s.name, c.user, c.host, c.options)
			switch {
			case c.want == "" && err != nil:
				t.Errorf("%s: %v, detail %q", what, err, sqlerr.From(err).Detail)
			case c.want != "" && (err == nil || !strings.Contains(err.Error()+sqlerr.From(err).Detail+sqlerr.From(err).Hint, c.want)):
				t.Errorf("%s: error %v, detail %q, and it should contain %q", what, err, sqlerr.From(err).Detail, c.want)
			case c.want != "" && sqlerr.From(err).Hint == "" && sqlerr.CodeOf(err) != sqlerr.InvalidParameterValue:
				t.Errorf("%s: error %v has no hint", what, err)
			}
		}
	}
}

func TestPostgres(t *testing.T) {
	s, ours, other := dbtest.Postgres(t, "-c", "wal_level=logical"), dbtest.NewAuthority(t), dbtest.NewAuthority(t)
	s.Kill()
	s.Listen(t)
	hba := "local all all trust\nhostssl all tls 127.0.0.1/32 trust\nhostssl all cert 127.0.0.1/32 cert\nhost all plain 127.0.0.1/32 trust\n"
	if err := os.WriteFile(filepath.Join(s.Dir, "data", "pg_hba.conf"), []byte(hba), 0o644); err != nil {
		t.Fatal(err)
	}
	s.MustStart(t)
	c, err := pgx.Connect(t.Context(), fmt.Sprintf("host=%s port=%d user=root dbname=postgres", s.Host, s.Port))
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range []string{"tls", "cert", "plain"} {
		if _, err := c.Exec(t.Context(), "CREATE ROLE "+u+" LOGIN SUPERUSER"); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := c.Exec(t.Context(), "CREATE TABLE target (id int)"); err != nil {
		t.Fatal(err)
	}
	_ = c.Close(t.Context())
	all := subjects("postgres", s.Port, postgres.Source{}, "postgres-cdc", pgsink.Sink{}, "postgres", "postgresql")
	check(t, all, false, ours, other)
	s.Quit()
	s.ServeTLS(t, ours)
	s.MustStart(t)
	check(t, all, true, ours, other)
}

func TestMySQL(t *testing.T) {
	s, ours, other := dbtest.MariaDB(t), dbtest.NewAuthority(t), dbtest.NewAuthority(t)
	for user, requires := range map[string]string{"tls": "REQUIRE SSL", "cert": "REQUIRE X509", "plain": ""} {
		s.Exec(t, "CREATE USER "+user+" "+requires, "GRANT ALL ON *.* TO "+user)
	}
	s.Exec(t, "CREATE TABLE test.target (id int)")
	all := subjects("test", s.Port, mysql.Source{}, "mysql-cdc", mysqlsink.Sink{}, "mysql", "mysql")
	check(t, all, false, ours, other)
	s.Stop()
	s.ServeTLS(t, ours)
	s.MustStart(t)
	check(t, all, true, ours, other)
}
