// Package all lists the connectors there are.
//
// The idea: a registry is an explicit list; reading it tells what exists. Adding a connector is adding its
// line here.
//
// Pure functions, any goroutine. Start at Source and Sink.
package all

import (
	"maps"
	"slices"

	"github.com/millrace/millrace/connector"
	"github.com/millrace/millrace/connector/blackhole"
	"github.com/millrace/millrace/connector/datagen"
	"github.com/millrace/millrace/connector/httpsink"
	"github.com/millrace/millrace/connector/iceberg"
	"github.com/millrace/millrace/connector/jdbc"
	"github.com/millrace/millrace/connector/kafka"
	"github.com/millrace/millrace/connector/mqtt"
	"github.com/millrace/millrace/connector/mysql"
	"github.com/millrace/millrace/connector/mysqlsink"
	"github.com/millrace/millrace/connector/nats"
	"github.com/millrace/millrace/connector/nexmark"
	"github.com/millrace/millrace/connector/option"
	"github.com/millrace/millrace/connector/pgsink"
	"github.com/millrace/millrace/connector/posixfs"
	"github.com/millrace/millrace/connector/postgres"
	"github.com/millrace/millrace/connector/redis"
	"github.com/millrace/millrace/connector/s3"
	"github.com/millrace/millrace/connector/socket"
	"github.com/millrace/millrace/connector/webhook"
	"github.com/millrace/millrace/internal/sqlerr"
)

// Sources returns the sources by the value of their option connector.
func Sources() map[string]connector.Source {
	return map[string]connector.Source{
		"datagen":      datagen.Source{},
		"kafka":        kafka.Source{},
		"mysql-cdc":    mysql.Source{},
		"nats":         nats.Source{},
		"nexmark":      nexmark.Source{},
		"posix_fs":     posixfs.Source{},
		"postgres-cdc": postgres.Source{},
		"socket":       socket.Source{},
		"webhook":      webhook.Source{},
		"mqtt":         mqtt.Source{},
		"s3":           s3.Source{},
	}
}

// Sinks returns the sinks by the value of their option connector.
func Sinks() map[string]connector.Sink {
	return map[string]connector.Sink{
		"blackhole": blackhole.Sink{},
		"fs":        posixfs.Sink{}, // RisingWave's name for it
		"iceberg":   iceberg.Sink{},
		"http":      httpsink.Sink{},
		"jdbc":      jdbc.Sink{},
		"kafka":     kafka.Sink{},
		"mysql":     mysqlsink.Sink{},
		"mqtt":      mqtt.Sink{},
		"nats":      nats.Sink{},
		"posix_fs":  posixfs.Sink{},
		"postgres":  pgsink.Sink{},
		"redis":     redis.Sink{},
		"s3":        s3.Sink{},
	}
}

// Source finds a source by name: 22023 for no name, 42704 naming the nearest for an unknown one.
func Source(name string) (connector.Source, error) { return find("source connector", name, Sources()) }

// Sink finds a sink by name, with the same errors.
func Sink(name string) (connector.Sink, error) { return find("sink connector", name, Sinks()) }

func find[T any](kind, name string, known map[string]T) (T, error) {
	if c, ok := known[name]; ok {
		return c, nil
	}
	var none T
	names := slices.Sorted(maps.Keys(known))
	if name == "" {
		return none, sqlerr.New(sqlerr.InvalidParameterValue, "WITH needs the option \"connector\"").
			WithHint("Known are: %s.", option.List(names))
	}
	return none, option.Unknown(sqlerr.UndefinedObject, kind, name, names)
}
