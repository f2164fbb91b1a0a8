package mysql

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/fnv"
	"net"
	"strconv"
	"strings"
	"time"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/mysql/wire"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/sqltls"
)

// config is what the options of a source say.
type config struct {
	host      string
	port      int64
	user      string
	password  string
	databases []string // captured tables are in these; the first is that of tables named without one
	serverID  uint32
	instance  string
	tls       sqltls.Options
	zero      zeroPolicy
	cascades  bool // tables that foreign keys change behind the log are captured all the same
	heartbeat time.Duration
}

func parseOptions(spec *connector.SourceSpec) (*config, error) {
	o := option.New(option.Connector("mysql-cdc"), spec.Connector.Options)
	c := &config{
		host:     o.Required("hostname"),
		port:     o.Int("port", 3306, 1, 65535),
		user:     o.Required("username"),
		password: o.String("password", ""),
		instance: spec.Instance,
		tls:      sqltls.Read(o, sqltls.Options{}),
		zero:     zeroPolicy(o.Enum("zero.dates", string(zeroNull), string(zeroNull), string(zeroEpoch), string(zeroError))),
		cascades: o.Bool("allow.cascades", false),
	}
	for d := range strings.SplitSeq(o.Required("database.name"), ",") {
		if d = strings.TrimSpace(d); d != "" {
			c.databases = append(c.databases, d)
		}
	}
	c.serverID = uint32(o.Int("server.id", int64(defaultServerID(spec.Instance)), 1, 1<<32-1))
	c.heartbeat = o.Duration("heartbeat.interval", 2*time.Second, 100*time.Millisecond, time.Minute, time.Millisecond)
	// What RisingWave's scripts carry besides: the table of CREATE TABLE, and switches of what is always so here.
	o.Ignore("table.name", "transactional", "auto.schema.change", "snapshot.interval", "snapshot.batch_size", "slot.name")
	if len(c.databases) == 0 {
		o.Fail("option \"database.name\" names no database")
	}
	return c, o.Done()
}

// defaultServerID is a number for the source as a replica, the same for ever, and far from those that people give to servers.
func defaultServerID(instance string) uint32 {
	h := fnv.New32a()
	h.Write([]byte(instance))
	return h.Sum32() | 1<<31
}

// replicaUUID names the source as a replica to MySQL.
func (c *config) replicaUUID() string {
	h := fnv.New128a()
	h.Write([]byte(c.instance))
	u := h.Sum(nil)
	binary.BigEndian.PutUint32(u, c.serverID)
	u[6], u[8] = u[6]&0x0f|0x40, u[8]&0x3f|0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", u[:4], u[4:6], u[6:8], u[8:10], u[10:])
}

func (c *config) addr() string { return net.JoinHostPort(c.host, strconv.FormatInt(c.port, 10)) }

// connect opens a connection for queries.
func (c *config) connect(ctx context.Context) (*wire.Conn, error) {
	t, err := c.tls.Config(c.host)
	if err != nil {
		return nil, err
	}
	conn, err := wire.Connect(ctx, &wire.Config{Addr: c.addr(), User: c.user, Password: c.password, TLS: t, TLSPreferred: !c.tls.Needed()})
	if err != nil {
		return nil, c.explain("connect", err)
	}
	// What texts of values look like must not depend on the server's settings.
	for _, sql := range []string{"SET NAMES utf8mb4", "SET SESSION time_zone = '+00:00', sql_mode = '', net_write_timeout = 600",
		"SET SESSION TRANSACTION ISOLATION LEVEL REPEATABLE READ"} {
		if err == nil {
			err = conn.Exec(ctx, sql)
		}
	}
	if err != nil {
		conn.Close()
		return nil, c.explain("set up the session", err)
	}
	return conn, nil
}
