package sqlsink

import (
	"cmp"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/codec"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/sqltls"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Options are what the sinks into SQL databases have in common.
type Options struct {
	Host, User, Password, Database string
	Port                           int64
	Schema, Table                  string // Schema is "" where it was not given
	TLS                            sqltls.Options
	Upsert                         bool
	Force                          bool // force_append_only: deletes are left out
}

// Parse reads the options of spec. scheme is that of JDBC addresses ("postgresql"), port the usual one.
func Parse(spec *connector.SinkSpec, scheme string, port int64) (*Options, error) {
	o := option.New(option.Connector(spec.Connector.Name), spec.Connector.Options)
	c := &Options{}
	if spec.Connector.Name == "jdbc" {
		c.jdbc(o, scheme, port)
	} else {
		c.Host = o.Required("host", "hostname")
		c.Port = o.Int("port", port, 1, 65535)
		c.User = o.Required("user", "username")
		c.Password = o.String("password", "")
		c.Database = o.Required("database", "database.name")
	}
	c.Table = o.Required("table", "table.name")
	c.Schema = o.String("schema", c.Schema, "schema.name")
	c.TLS = sqltls.Read(o, c.TLS)
	mode, force := codec.SinkMode(o, spec)
	if mode == codec.Debezium || spec.Connector.Format != "" || spec.Connector.Encode != "" {
		o.Fail("%s writes rows: it takes type = 'append-only' or 'upsert', and no FORMAT", option.Connector(spec.Connector.Name))
	}
	c.Upsert, c.Force = mode == codec.Upsert, force
	return c, o.Done()
}

// jdbc reads jdbc.url, with user, password and ssl from its query or from options of their own.
func (c *Options) jdbc(o *option.Set, scheme string, port int64) {
	c.Host, c.Port = "localhost", port
	u, err := url.Parse(strings.TrimPrefix(o.Required("jdbc.url"), "jdbc:"))
	if err != nil || u.Scheme != scheme && !(scheme == "mysql" && u.Scheme == "mariadb") {
		o.Fail("option \"jdbc.url\" must look like jdbc:%s://host:%d/database?user=name&password=secret", scheme, port)
		return
	}
	if h := u.Hostname(); h != "" {
		c.Host = h
	}
	if p := u.Port(); p != "" {
		c.Port, _ = strconv.ParseInt(p, 10, 32)
	}
	c.Database = strings.TrimPrefix(u.Path, "/")
	if c.Database == "" {
		o.Fail("option \"jdbc.url\" names no database: jdbc:%s://host:%d/database", scheme, port)
	}
	q := u.Query()
	c.User, c.Password, c.Schema = q.Get("user"), q.Get("password"), q.Get("currentSchema")
	if u.User != nil {
		c.User = u.User.Username()
		c.Password, _ = u.User.Password()
	}
	// As the driver of PostgreSQL has it, and those of MySQL and MariaDB.
	c.TLS = sqltls.Options{Mode: cmp.Or(q.Get("sslmode"), q.Get("sslMode")), RootCert: cmp.Or(q.Get("sslrootcert"), q.Get("serverSslCert")),
		ClientCert: q.Get("sslcert"), ClientKey: q.Get("sslkey")}
	c.User = o.String("user", c.User, "username")
	c.Password = o.String("password", c.Password)
	if c.User == "" {
		o.Fail("connector \"jdbc\" needs the option \"user\", or user= in \"jdbc.url\"")
	}
}

// Address is host and port, for messages.
func (c *Options) Address() string { return net.JoinHostPort(c.Host, strconv.FormatInt(c.Port, 10)) }

// Unreachable is the error about a target that could not be asked: 08006 naming it.
func (c *Options) Unreachable(system string, err error) error {
	if e := c.TLS.Explain(system, c.Address(), err); e != nil {
		return e
	}
	hint := "Check the options host, port, user, password, database and ssl.mode, and that the server accepts connections from here."
	if c.TLS.ClientCert != "" {
		hint += " It may not trust the certificate of ssl.client.cert: MySQL's driver does not tell why a TLS connection has ended."
	}
	return sqlerr.New(sqlerr.ConnectionFailure, "could not connect to %s database %q at %s as user %q", system, c.Database, c.Address(), c.User).
		WithDetail("%v", err).WithCause(err).
		WithHint("%s", hint)
}

// Instance is the name under which a sink leaves its marker in the target.
func Instance(spec *connector.SinkSpec) string {
	if spec.Instance != "" {
		return spec.Instance
	}
	return spec.Name + "-" + strconv.FormatInt(int64(spec.ID), 10)
}

// MarkerTable is the table in the target with a row per sink: which epoch the target holds, and which writer may
// write.
const MarkerTable = "millrace_sink_epochs"
